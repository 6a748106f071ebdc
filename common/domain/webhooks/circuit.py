"""The circuit of an endpoint: after several failures in a row its deliveries wait, and one at a time tries."""

from dataclasses import dataclass

_MAX_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """When a circuit opens, and for how long."""

    failures: int  #: in a row, after which it opens
    open_s: float  #: seconds for which it opens first; twice as long after each further failure
    max_open_s: float  #: seconds

    def open_seconds(self, failures: int) -> float | None:
        """Return for how long the circuit opens after so many failures in a row; None: it stays closed."""
        if failures < self.failures:
            return None
        return min(self.max_open_s, self.open_s * 2.0 ** min(failures - self.failures, _MAX_DOUBLINGS))


def postponement_s(released: int, jitter: float, base_s: float, max_s: float) -> float:
    """Return in how many seconds a delivery tries again that found no place, after `released` such waits.

    `jitter` is uniform in [0, 1).
    """
    return min(max_s, base_s * 2.0 ** min(released, _MAX_DOUBLINGS)) * (0.5 + jitter / 2)

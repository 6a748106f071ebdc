"""The settings of a relay. Every wait and every size has a limit."""

from dataclasses import dataclass

from jobproc.outbox.table import TABLE

DAY_S = 86_400.0
MAX_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The settings of a relay. Times are in seconds."""

    table: str = TABLE
    batch: int = 100  #: largest number of rows that one transaction takes
    connections: int = 4  #: to the API, each with one submission at a time
    poll_seconds: float = 0.5  #: wait after no row was due
    timeout_seconds: float = 10.0  #: of a submission
    lease_seconds: float = 60.0  #: after a relay has died, its rows are sent by another one so much later
    backoff_seconds: float = 1.0  #: after the first failure; doubled with each further one
    max_backoff_seconds: float = 300.0
    #: Longest time between a submission of unknown outcome and its repeat. Below JOBPROC_IDEMPOTENCY_SECONDS of the
    #: API, after which a repeat would be a second job.
    unsure_seconds: float = 72_000.0
    keep_seconds: float = 7 * DAY_S  #: for which an accepted row stays
    delete_batch: int = 1_000  #: largest number of rows that one statement deletes

    def __post_init__(self) -> None:
        """Raise ValueError for settings that could not work."""
        for name in ("batch", "connections", "delete_batch"):
            if not 1 <= getattr(self, name) <= MAX_SIZE:
                raise ValueError(f"{name} is {getattr(self, name)}: 1 to {MAX_SIZE} is expected")
        for name in ("poll_seconds", "timeout_seconds", "lease_seconds", "backoff_seconds", "unsure_seconds"):
            if not 0 < getattr(self, name) <= 30 * DAY_S:
                raise ValueError(f"{name} is {getattr(self, name)}: more than 0 and up to 30 days is expected")
        if self.lease_seconds <= self.timeout_seconds:
            raise ValueError("lease_seconds must be more than timeout_seconds")

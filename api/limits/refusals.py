"""Refused clients: counted by reason, and logged at most once a second for each reason."""

import asyncio
from functools import partial

from prometheus_client import CollectorRegistry

from common.telemetry import logs, metrics, refusal_reasons

log = logs.get("api")
LOG_INTERVAL_S = 1.0


class Refusals:
    """Counts refused clients, and logs how many there were since the last line.

    A timer logs the rest of a burst, with its last address. A LogLimit would keep them until somebody is refused again.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = metrics.REFUSALS.counter(registry, *refusal_reasons.REFUSAL_REASONS)
        #: by reason: refusals since the last line, and the address of the last one. A reason has a key while its next
        #: line must wait.
        self._unlogged: dict[str, tuple[int, str]] = {}

    def count(self, reason: str, address: str = "") -> None:
        """Count a refusal. `address`: the client's; empty: unknown, or it did not matter."""
        self._counter.labels(reason).inc()
        unlogged = self._unlogged.get(reason)
        if unlogged is None:
            self._log(reason, 1, address)
        else:
            self._unlogged[reason] = unlogged[0] + 1, address

    def _log(self, reason: str, count: int, address: str) -> None:
        log.warning("clients_refused", reason=reason, count=count, address=address)
        self._unlogged[reason] = 0, ""
        asyncio.get_running_loop().call_later(LOG_INTERVAL_S, partial(self._log_rest, reason))

    def _log_rest(self, reason: str) -> None:
        logs.request_id.set(b"")  # one request starts the timer, but the line counts several
        count, address = self._unlogged.pop(reason)
        if count:
            self._log(reason, count, address)

"""Requests that the API refuses before a route gets them, and offers of an upgrade: counted, and logged in part."""

from prometheus_client import Counter

from common.telemetry import logs
from common.telemetry.log_limit import LogLimit

log = logs.get("api")


class Irregularities:
    """Counts irregular requests by reason. Anybody can send thousands a second, so few of them are logged."""

    def __init__(self, counter: Counter, log_limit: LogLimit | None = None) -> None:
        """Count in `counter`, by its label `reason`."""
        self._counter = counter
        self._log_limit = log_limit or LogLimit()

    def count(self, reason: str) -> None:
        """Count a request that is served although it is irregular."""
        self._counter.labels(reason).inc()

    def refuse(self, reason: str, status: int) -> None:
        """Count and log a request that is refused."""
        self.count(reason)
        if count := self._log_limit.due():
            log.warning("requests_refused", count=count, reason=reason, status=status)

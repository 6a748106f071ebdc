"""The publication of a worker's operations in the catalogue, where the API reads them."""

from collections.abc import Callable, Sequence
from functools import partial

from common.domain.operation_spec import OperationSpec
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.operations import catalogue, sightings
from common.telemetry import logs

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S = 0.5  # before the second attempt to publish; doubles up to the limit
SEEN_INTERVAL_S = 600.0  # between two marks; an operation is forgotten after an hour without one at the earliest


class Publication:
    """Publishes operations once, and marks them as known from time to time.

    Those that PostgreSQL refuses do not hold up the others, and are retried. One that is missing later, such as after
    a restore of an old backup, is published again; one that has changed is not: another version may be newer.
    """

    def __init__(self, specs: Sequence[OperationSpec], max_pause_s: float) -> None:
        """`max_pause_s`: longest pause between two attempts."""
        self._specs = specs
        self._unpublished = list(specs)
        self._next_seen_s = 0.0
        self._max_pause_s = max_pause_s
        self._pause_s = INITIAL_RETRY_PAUSE_S
        self._next_s = 0.0
        self._reason = ""

    def tick(self, now_s: float, connect: Callable[[], WorkerConnection]) -> None:
        """Publish what is not published yet, unless it was refused a moment ago; mark the others if it is time.

        Raises DatabaseUnavailable if the connection is lost; the next tick tries again.
        """
        if now_s >= self._next_seen_s:
            self._mark_seen(connect())
            self._next_seen_s = now_s + SEEN_INTERVAL_S
        if not self._unpublished or now_s < self._next_s:
            return
        connection = connect()
        if _refusal(connection, partial(catalogue.publish, connection, self._unpublished)) is None:
            self._unpublished = []
            return
        refused = [
            (spec, reason)
            for spec in self._unpublished
            if (reason := _refusal(connection, partial(catalogue.publish, connection, [spec])))
        ]
        self._unpublished = [spec for spec, _ in refused]
        self._next_s = now_s + self._pause_s
        self._pause_s = min(self._pause_s * 2, self._max_pause_s)
        if refused:
            self._log([spec.name for spec, _ in refused], refused[0][1])

    def _mark_seen(self, connection: WorkerConnection) -> None:
        names = [spec.name for spec in self._specs]
        missing: set[str] = set()
        reason = _refusal(
            connection, lambda: missing.update(sightings.mark_seen(connection, names, SEEN_INTERVAL_S / 2))
        )
        if reason:
            self._log(names, reason)
        self._unpublished += [spec for spec in self._specs if spec.name in missing and spec not in self._unpublished]

    def _log(self, names: list[str], reason: str) -> None:
        """Log a refusal, unless the last one was the same."""
        if reason != self._reason:
            self._reason = reason
            log.error("operations_publish_failed", operations=names, reason=reason)


def _refusal(connection: WorkerConnection, write: Callable[[], None]) -> str | None:
    """Write to the catalogue; returns why PostgreSQL refuses it, None if it does not."""
    try:
        write()
    except Exception as error:
        if connection.driver_connection.closed:
            raise
        return str(error).partition("\n")[0] or type(error).__name__
    return None

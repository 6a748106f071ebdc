"""The publication of a worker's operations in the catalogue, where the API reads them."""

from collections.abc import Callable, Sequence

from common.domain.operation_spec import OperationSpec
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.operations import catalogue
from common.telemetry import logs

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S = 0.5  # before the second attempt to publish; doubles up to the limit


class Publication:
    """Publishes operations once. Those that PostgreSQL refuses do not hold up the others, and are retried."""

    def __init__(self, specs: Sequence[OperationSpec], max_pause_s: float) -> None:
        """`max_pause_s`: longest pause between two attempts."""
        self._unpublished = list(specs)
        self._max_pause_s = max_pause_s
        self._pause_s = INITIAL_RETRY_PAUSE_S
        self._next_s = 0.0
        self._reason = ""

    def tick(self, now_s: float, connect: Callable[[], WorkerConnection]) -> None:
        """Publish what is not published yet, unless it was refused a moment ago.

        Raises DatabaseUnavailable if the connection is lost; the next tick tries again.
        """
        if not self._unpublished or now_s < self._next_s:
            return
        connection = connect()
        if self._refusal(connection, self._unpublished) is None:
            self._unpublished = []
            return
        refused = [(spec, reason) for spec in self._unpublished if (reason := self._refusal(connection, [spec]))]
        self._unpublished = [spec for spec, _ in refused]
        self._next_s = now_s + self._pause_s
        self._pause_s = min(self._pause_s * 2, self._max_pause_s)
        if refused and refused[0][1] != self._reason:  # else it is logged already
            self._reason = refused[0][1]
            log.error("operations_publish_failed", operations=[spec.name for spec, _ in refused], reason=self._reason)

    def _refusal(self, connection: WorkerConnection, specs: Sequence[OperationSpec]) -> str | None:
        """Publish operations in one statement; returns why PostgreSQL refuses them, None if it does not."""
        try:
            catalogue.publish(connection, specs)
        except Exception as error:
            if connection.driver_connection.closed:
                raise
            return str(error).partition("\n")[0] or type(error).__name__
        return None

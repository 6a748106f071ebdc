"""Celery's consumer of doorbells, which keeps its pool of processes complete while Redis is unavailable."""

from functools import partial
from typing import Any

from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from common.broker.redis_client import reason
from common.telemetry import logs

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S, MAX_RETRY_PAUSE_S = 1.0, 5.0  # between two attempts to reach Redis; a second more each time


class Consumer(consumer.Consumer):
    """Celery's consumer; also replaces dead processes while it reconnects. Celery's retries are up to 30 s apart."""

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once Redis answers. Raises Celery's shutdown exceptions when the worker is to end."""
        self._logged_reason = ""
        return conn.ensure_connection(
            partial(self._log_error, conn),
            interval_start=INITIAL_RETRY_PAUSE_S,
            interval_step=1.0,
            interval_max=MAX_RETRY_PAUSE_S,
            callback=self._while_disconnected,
        )

    def _log_error(self, conn: Any, error: Exception, _pause_s: float) -> None:
        """Log why Redis is unavailable, once for each reason of an outage. The URL has no password."""
        if (why := reason(error, conn.ssl or None)) != self._logged_reason:
            self._logged_reason = why
            log.warning("redis_unavailable", url=conn.as_uri(), reason=why)

    def _while_disconnected(self) -> None:
        """Do the work of Celery's event loop, which is blocked meanwhile. Called once a second."""
        maybe_shutdown()
        self.pool._pool.maintain_pool()  # noqa: SLF001 - TaskPool has no public method for it

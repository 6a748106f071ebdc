"""Celery's consumer of doorbells, that keeps its processes while Redis is away."""

from typing import Any

from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from common.telemetry import logs

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S, MAX_RETRY_PAUSE_S = 1.0, 5.0  # between two tries to reach Redis; a second more each time


class Consumer(consumer.Consumer):
    """Celery's, that replaces dead processes also while it tries to reach Redis. Celery's own tries are up to 30 s apart."""

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once Redis answers. Raises what ends the worker when it was told to end."""
        return conn.ensure_connection(
            self._log_error, interval_start=INITIAL_RETRY_PAUSE_S, interval_step=1.0, interval_max=MAX_RETRY_PAUSE_S, callback=self._while_disconnected
        )

    def _log_error(self, error: Exception, pause_s: float) -> None:
        log.warning("redis_away", reason=str(error).strip(), pause_s=pause_s)

    def _while_disconnected(self) -> None:
        """Do what Celery's event loop, which stands still meanwhile, would do. Once a second."""
        maybe_shutdown()
        self.pool._pool.maintain_pool()  # noqa: SLF001 - TaskPool has no word for it

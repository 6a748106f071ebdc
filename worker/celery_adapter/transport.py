"""Celery's Redis transport, that takes doorbells and nothing else.

Kombu ends the whole worker over a text that is not JSON, and a message that Celery cannot open stays counted as taken: with a
prefetch of one the worker is deaf from then on. So what is not a doorbell goes no further than here.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from common.broker.doorbells import queue_of_message
from common.telemetry import logs

log = logs.get("worker")


class Channel(redis.Channel):
    """Reads the lists."""

    def _brpop_read(self, **options: Any) -> Any:
        self.connection.delivering = False  # type: ignore[attr-defined]  # of the Transport below
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs do not know it
        except (ValueError, RecursionError) as error:
            if self.connection.delivering:  # type: ignore[attr-defined]  # of the Transport below
                raise
            log.warning("doorbell_refused", reason=f"not JSON: {error}"[:200])
            return True


class Transport(redis.Transport):
    """Kombu's, with the channel above."""

    Channel = Channel
    delivering = False
    # A replica that may not be written, an access list that changed: to Kombu an error of the program, over which Celery ends the worker.
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def _deliver(self, message: Any, queue: str | None) -> None:
        if queue_of_message(message) is None:
            log.warning("doorbell_refused", reason="not a doorbell", list=queue)
            return
        self.delivering = True
        super()._deliver(message, queue)

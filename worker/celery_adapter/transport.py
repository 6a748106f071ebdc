"""Celery's Redis transport, which delivers doorbells and drops every other message.

Kombu ends the whole worker over a text that is not JSON. A message that Celery cannot open stays counted as
unacknowledged: with a prefetch of one the worker is stalled from then on. So invalid messages are dropped here, before
Celery sees them.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from common.broker.doorbells import queue_of_message
from common.telemetry import logs

log = logs.get("worker")


class Channel(redis.Channel):
    """Kombu's channel, which reads the Redis lists; drops texts that are not JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        self.connection.delivering = False  # type: ignore[attr-defined]  # of the Transport below
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs do not know it
        except (ValueError, RecursionError) as error:
            if self.connection.delivering:  # type: ignore[attr-defined]  # of the Transport below
                raise
            log.warning("invalid_message_dropped", reason=f"not JSON: {error}"[:200])
            return True


class Transport(redis.Transport):
    """Kombu's transport with the channel above; drops messages that are not doorbells."""

    Channel = Channel
    delivering = False
    # A replica that may not be written, or an access list that changed: Kombu takes it for a bug, and Celery ends the
    # worker.
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def _deliver(self, message: Any, queue: str | None) -> None:
        if queue_of_message(message) is None:
            log.warning("invalid_message_dropped", reason="not a doorbell", list=queue)
            return
        self.delivering = True
        super()._deliver(message, queue)

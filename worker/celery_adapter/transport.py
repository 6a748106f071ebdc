"""Celery's Redis transport, which delivers doorbells and drops every other message.

Kombu ends the whole worker over a text that is not JSON, and Celery over an id that is no string. A message that Celery
cannot open stays counted as unacknowledged: with a prefetch of one the worker is stalled from then on. A large message
takes the GIL for seconds, while no lease is renewed. So texts are checked here, before Kombu parses them, and neither
Kombu nor Celery gets anything that came from Redis: they get a doorbell made here.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from common.broker.doorbells import PREFIX, DoorbellMessages, NoDoorbellError, check_doorbell
from common.telemetry import logs
from common.telemetry.log_limit import LogLimit

log = logs.get("worker")


class Channel(redis.Channel):
    """Kombu's channel, which reads the Redis lists; takes a message that is not a doorbell for none."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[misc]  # the stubs do not know it
        connection: Any = self.connection.client
        parameters["credential_provider"] = connection.transport_options["login"]
        return parameters

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)  # type: ignore[misc]  # the stubs do not know it
        messages, log_limit = DoorbellMessages(), LogLimit()

        def checked(popped: list[bytes] | None, **_options: Any) -> tuple[bytes, str] | None:
            """Return what Kombu gets as the answer to BRPOP. None is that of a list that stayed empty."""
            if not popped:
                return None
            key, text = popped
            name: str = key.decode().partition(self.sep)[0]  # Kombu has a list for each priority
            queue = name.removeprefix(PREFIX)
            try:
                check_doorbell(text, queue)
            except NoDoorbellError as error:
                if count := log_limit.due():
                    log.warning("invalid_message_dropped", count=count, reason=str(error), list=name)
                # As Kombu does after each message, so that the next turn is that of the other lists.
                self._queue_cycle.rotate(name)  # type: ignore[attr-defined]  # the stubs do not know it
                return None
            return key, messages[queue].text()

        client.set_response_callback("BRPOP", checked)
        return client


class Transport(redis.Transport):
    """Kombu's transport with the channel above."""

    Channel = Channel
    # A replica that may not be written, or an access list that changed: Kombu takes it for a bug, and Celery ends the
    # worker.
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

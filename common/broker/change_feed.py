"""The change feed: a Redis channel on which the ids of changed jobs are published."""

import time
from collections.abc import Sequence
from typing import Any

from common.broker.redis_client import client_options, redis, retry_once
from common.settings import Settings

CHANNEL = "jobproc:changed"  # the channel on which the ids of jobs that have changed are told
NO_SUBSCRIBER_PAUSE_S = 0.1  # for so long a process tells nothing after nobody has heard it
ERROR_PAUSE_S = 1.0  # and after Redis did not take it
PUBLISH_TIMEOUT_S = 0.2  # longest wait of a process that has jobs to run for Redis to take it


class ChangeFeed:
    """Tells whoever listens which jobs have changed, from workers and the controller. Of no cost while nobody listens, and next to none while Redis is away.

    What is not told, or not heard, is found by the look that every second has.
    """

    def __init__(self, settings: Settings) -> None:
        wait_s = min(settings.redis_timeout_seconds, PUBLISH_TIMEOUT_S)
        options = client_options(settings) | {"socket_timeout": wait_s, "socket_connect_timeout": wait_s}
        # The connection of a Redis that was started again is found dead by the first try.
        self._redis = redis.Redis.from_url(settings.redis_url, **options, retry=retry_once())
        self._timeout_pause_s = settings.redis_timeout_seconds * 2
        self._paused_until = 0.0

    @property
    def paused(self) -> bool:
        """Whether nothing is told now."""
        return time.monotonic() < self._paused_until

    def publish(self, ids: Sequence[str]) -> None:
        """Tell the ids of jobs whose change has been committed, in one message. Never raises what Redis does."""
        if not ids or self.paused:
            return
        try:
            heard = self._redis.publish(CHANNEL, ",".join(ids))
        except redis.TimeoutError:
            self._paused_until = time.monotonic() + self._timeout_pause_s
        except (redis.RedisError, OSError):
            self._paused_until = time.monotonic() + ERROR_PAUSE_S
        else:
            if not heard:
                self._paused_until = time.monotonic() + NO_SUBSCRIBER_PAUSE_S


def ids_of_message(message: dict[str, Any]) -> list[str]:
    """Return the ids that a message of the channel tells; none of another's message."""
    data = message.get("data")
    return data.decode("ascii", "replace").split(",") if message.get("type") == "message" and isinstance(data, bytes) else []

"""Change notifications: a Redis channel on which the ids of changed jobs are published."""

import time
from collections.abc import Sequence
from typing import Any

from common.broker.redis_client import client_options, redis, retry_once
from common.settings import Settings

CHANNEL = "jobproc:changed"
NO_SUBSCRIBER_PAUSE_S = 0.1  # pause after a publish that reached no subscriber
ERROR_PAUSE_S = 1.0  # pause after an error of Redis
MAX_IDS = 1_000  # in one message
MAX_BYTES = MAX_IDS * 37  # of a message: UUIDs and commas
PUBLISH_TIMEOUT_S = 0.2  # longest wait for a publish, of a process that has jobs to run


class ChangeNotifications:
    """Publishes the ids of changed jobs, from workers and the controller.

    It pauses for 100 ms after a publish that reached no subscriber, and for a second or more after an error.
    Subscribers that miss a message find the change when they poll.
    """

    def __init__(self, settings: Settings) -> None:
        wait_s = min(settings.redis_timeout_seconds, PUBLISH_TIMEOUT_S)
        options = client_options(settings) | {"socket_timeout": wait_s, "socket_connect_timeout": wait_s}
        # After a restart of Redis the first try fails on the old connection; the retry uses a new one.
        self._redis = redis.Redis.from_url(settings.redis_server.url, **options, retry=retry_once())
        self._timeout_pause_s = settings.redis_timeout_seconds * 2
        self._paused_until = 0.0

    @property
    def paused(self) -> bool:
        """True while it publishes nothing."""
        return time.monotonic() < self._paused_until

    def publish(self, ids: Sequence[str]) -> None:
        """Publish the ids of jobs whose change is committed, MAX_IDS in a message. Catches every error of Redis."""
        for first in range(0, len(ids), MAX_IDS):
            self._publish(ids[first : first + MAX_IDS])

    def _publish(self, ids: Sequence[str]) -> None:
        if self.paused:
            return
        try:
            subscribers = self._redis.publish(CHANNEL, ",".join(ids))
        except redis.TimeoutError:
            self._paused_until = time.monotonic() + self._timeout_pause_s
        except (redis.RedisError, OSError):
            self._paused_until = time.monotonic() + ERROR_PAUSE_S
        else:
            if not subscribers:
                self._paused_until = time.monotonic() + NO_SUBSCRIBER_PAUSE_S


def ids_of_message(message: dict[str, Any]) -> list[str]:
    """Return the ids in a message of the channel, at most MAX_IDS; none if it is too large or has another form."""
    data = message.get("data")
    if message.get("type") != "message" or not isinstance(data, bytes) or len(data) > MAX_BYTES:
        return []
    return data.decode("ascii", "replace").split(",")[:MAX_IDS]

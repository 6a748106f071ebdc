"""Doorbells: "there is work in queue Q", as Celery messages that carry neither payload nor job id; which jobs have changed; Celery's settings.

Celery is not imported here: `send_task` costs 1.8 ms of CPU a ring, the message of a queue changes in nothing but its ids, and
the API and the controller save Celery's 20 MB. A test holds the message against what the installed Celery makes.
"""

import base64
import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from common import failpoints
from common.lean import redis
from common.settings import Settings

TASK = "jobproc.serve"
PREFIX = "jobproc."  # of every Celery queue, so of every Redis list
CHANGED = "jobproc:changed"  # the channel on which the ids of jobs that have changed are told
NOBODY_S = 0.1  # for so long a process tells nothing after nobody has heard it
MUTE_S = 1.0  # and after Redis did not take it
TELL_S = 0.2  # longest wait of a process that has jobs to run for Redis to take it

# A ring may be left out only while an earlier one is known to be not yet answered: it still lies in the list, and whoever
# takes it claims after taking it, so after this commit. One script, so nothing can come between the look and the push.
_RING = "if redis.call('LLEN', KEYS[1]) > 0 then return 0 end redis.call('LPUSH', KEYS[1], ARGV[1]) return 1"


def celery_queue(queue: str) -> str:
    """Return the Celery queue, and Redis key, of a queue."""
    return PREFIX + queue


def message(queue: str, ring_id: str, delivery_tag: str, origin: str = "jobproc") -> dict[str, Any]:
    """Return the doorbell of a queue as Celery's Redis transport stores it."""
    body = json.dumps([[queue], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": TASK, "id": ring_id, "root_id": ring_id, "parent_id": None, "group": None, "group_index": None,
            "shadow": None, "eta": None, "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": repr((queue,)),
            "kwargsrepr": "{}", "origin": origin, "ignore_result": True, "replaced_task_nesting": 0,
            "stamped_headers": None, "stamps": {},
        },
        "properties": {
            "correlation_id": ring_id, "reply_to": "", "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": celery_queue(queue)},
            "priority": 0, "body_encoding": "base64", "delivery_tag": delivery_tag,
        },
    }  # fmt: skip


def queue_of(found: Any) -> str | None:
    """Return the queue that a message out of Redis rings for; None when it is not a doorbell of this form."""
    try:
        arguments = json.loads(base64.b64decode(found["body"], validate=True))[0]
        queue, properties = arguments[0], found["properties"]
        wanted = message(queue, found["headers"]["id"], properties["delivery_tag"], found["headers"]["origin"])
        wanted["properties"]["reply_to"] = properties["reply_to"]
    except (TypeError, ValueError, LookupError, RecursionError):
        return None
    return queue if isinstance(queue, str) and found == wanted else None


class Message:
    """The doorbell of one queue as text, made once; each ring gets fresh ids."""

    def __init__(self, queue: str) -> None:
        self._ring, self._tag = str(uuid.uuid4()), str(uuid.uuid4())
        self._made = json.dumps(message(queue, self._ring, self._tag))

    def text(self) -> str:
        """Return the message of one ring."""
        return self._made.replace(self._ring, str(uuid.uuid4())).replace(self._tag, str(uuid.uuid4()))


class Messages(dict[str, Message]):
    """The doorbells of queues, each made when it is first rung."""

    def __missing__(self, queue: str) -> Message:
        made = self[queue] = Message(queue)
        return made


class Bell:
    """Rings from worker and controller processes. Never raises what Redis does: a lost ring costs a tick."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url, **_client_options(settings), retry=_once_more())
        self._quiet_s = settings.redis_timeout_seconds * 2
        self._quiet_until = 0.0
        self._ring = self._redis.register_script(_RING)
        self._messages = Messages()

    def ring(self, queue: str) -> bool | None:
        """Ring for a queue. Returns False when an unanswered ring is there already, None when Redis is away."""
        if time.monotonic() < self._quiet_until:
            return None  # it hangs: who has work must not wait for it at every claim
        text = self._messages[queue].text()
        failpoints.reach("ring.before_publish")
        try:
            return bool(self._ring(keys=[celery_queue(queue)], args=[text]))
        except redis.TimeoutError:
            self._quiet_until = time.monotonic() + self._quiet_s
            return None
        except (redis.RedisError, OSError):
            return None


class Crier:
    """Tells whoever listens which jobs have changed, from workers and the controller. Of no cost while nobody listens, and next to none while Redis is away.

    What is not told, or not heard, is found by the look that every second has.
    """

    def __init__(self, settings: Settings) -> None:
        wait_s = min(settings.redis_timeout_seconds, TELL_S)
        options = _client_options(settings) | {"socket_timeout": wait_s, "socket_connect_timeout": wait_s}
        # The connection of a Redis that was started again is found dead by the first try.
        self._redis = redis.Redis.from_url(settings.redis_url, **options, retry=_once_more())
        self._mute_s = settings.redis_timeout_seconds * 2
        self._quiet_until = 0.0

    @property
    def quiet(self) -> bool:
        """Whether nothing is told now."""
        return time.monotonic() < self._quiet_until

    def tell(self, ids: Sequence[str]) -> None:
        """Tell the ids of jobs whose change has been committed, in one message. Never raises what Redis does."""
        if not ids or self.quiet:
            return
        try:
            heard = self._redis.publish(CHANGED, ",".join(ids))
        except redis.TimeoutError:
            self._quiet_until = time.monotonic() + self._mute_s
        except (redis.RedisError, OSError):
            self._quiet_until = time.monotonic() + MUTE_S
        else:
            if not heard:
                self._quiet_until = time.monotonic() + NOBODY_S


def changed(message: dict[str, Any]) -> list[str]:
    """Return the ids that a message of the channel tells; none of another's message."""
    data = message.get("data")
    return data.decode("ascii", "replace").split(",") if message.get("type") == "message" and isinstance(data, bytes) else []


def async_redis(settings: Settings) -> redis.asyncio.Redis:
    """Return the API's client; every wait of it is bounded by the settings."""
    return redis.asyncio.Redis.from_url(settings.redis_url, **_client_options(settings), max_connections=20)


def listening_redis(settings: Settings) -> redis.asyncio.Redis:
    """Return the client of one who listens and looks after its connection itself: it neither asks whether Redis is well nor tries again."""
    options = _client_options(settings) | {"health_check_interval": 0}
    return redis.asyncio.Redis.from_url(settings.redis_url, **options, retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0))


async def ring(client: redis.asyncio.Redis, message_of: Message, queue: str) -> bool:
    """Ring for a queue; False when an unanswered ring is there already. Raises redis.RedisError or OSError when Redis is away."""
    failpoints.reach("ring.before_publish")
    return bool(await client.eval(_RING, 1, celery_queue(queue), message_of.text()))


def _once_more() -> redis.retry.Retry:
    return redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))


def _client_options(settings: Settings) -> dict[str, Any]:
    seconds = settings.redis_timeout_seconds
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds, "socket_keepalive": True, "health_check_interval": 10}


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration. Doorbells may be lost, so the settings that guard messages are the wrong ones here."""
    return {
        "broker_url": settings.redis_url,
        # A ring is answered when it is taken: no unacked hash, no redelivery, no storm of copies after a reconnect.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        # Truth is in PostgreSQL.
        "task_ignore_result": True,
        "result_backend": None,
        # JSON only: anything else is refused, not decoded.
        "accept_content": ["json"],
        "task_serializer": "json",
        # A ring taken early by a busy worker would be a wake-up taken from an idle one.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        # Redis may come later, go and come back: never give up, never touch running work.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": settings.redis_timeout_seconds,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Who can write to Redis must not command workers; what runs where is in PostgreSQL.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "task_create_missing_queues": False,
        "task_default_queue": celery_queue("default"),
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        "worker_enable_soft_shutdown_on_idle": False,
        "broker_pool_limit": 2,
        "broker_transport_options": {
            # Without: two Redis commands fewer a ring, and the bound on rings becomes exact.
            "ack_emulation": False,
            "visibility_timeout": 60,
            "unacked_restore_throttle": 1,
            # A half-open connection heals in about one health interval and a poll.
            "socket_timeout": 5.0,
            "socket_connect_timeout": settings.redis_timeout_seconds,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "retry_on_timeout": True,
            "max_connections": 10,
        },
    }

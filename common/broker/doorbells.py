"""Doorbells: Celery messages that say "there is work in queue Q", without payload or job id.

Celery is not imported here. Its `send_task` costs 1.8 ms of CPU a ring, the messages of a queue differ only in their
ids, and the API and the controller save Celery's 20 MB. A test compares the message with that of the installed Celery.
"""

import base64
import json
import time
import uuid
from typing import Any

from common import failpoints
from common.broker.redis_client import client_options, redis, retry_once
from common.settings import Settings

TASK = "jobproc.serve"
PREFIX = "jobproc."  # of every Celery queue, and so of its Redis list

# A ring is coalesced only while an earlier one is still in the list: the worker that takes that one claims afterwards,
# so after this commit. Check and push are one script, hence atomic.
_RING = "if redis.call('LLEN', KEYS[1]) > 0 then return 0 end redis.call('LPUSH', KEYS[1], ARGV[1]) return 1"


def celery_queue(queue: str) -> str:
    """Return the name of the Celery queue, which is the Redis key too, of a queue."""
    return PREFIX + queue


def celery_message(queue: str, ring_id: str, delivery_tag: str, origin: str = "jobproc") -> dict[str, Any]:
    """Return the doorbell message of a queue in the form in which Celery's Redis transport stores it."""
    body = json.dumps([[queue], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": TASK, "id": ring_id, "root_id": ring_id, "parent_id": None, "group": None,
            "group_index": None, "shadow": None, "eta": None, "expires": None, "retries": 0,
            "timelimit": [None, None], "argsrepr": repr((queue,)), "kwargsrepr": "{}", "origin": origin,
            "ignore_result": True, "replaced_task_nesting": 0,
            "stamped_headers": None, "stamps": {},
        },
        "properties": {
            "correlation_id": ring_id, "reply_to": "", "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": celery_queue(queue)},
            "priority": 0, "body_encoding": "base64", "delivery_tag": delivery_tag,
        },
    }  # fmt: skip


def queue_of_message(message: Any) -> str | None:
    """Return the queue for which a message from Redis rings; None if it is not a doorbell of exactly this form."""
    try:
        arguments = json.loads(base64.b64decode(message["body"], validate=True))[0]
        queue, headers, properties = arguments[0], message["headers"], message["properties"]
        expected = celery_message(queue, headers["id"], properties["delivery_tag"], headers["origin"])
        expected["properties"]["reply_to"] = properties["reply_to"]
    except (TypeError, ValueError, LookupError, RecursionError):
        return None
    return queue if isinstance(queue, str) and message == expected else None


class DoorbellMessage:
    """The doorbell of a queue as text, serialised once; each ring gets new ids."""

    def __init__(self, queue: str) -> None:
        self._ring_id, self._tag = str(uuid.uuid4()), str(uuid.uuid4())
        self._template = json.dumps(celery_message(queue, self._ring_id, self._tag))

    def text(self) -> str:
        """Return the message of one ring."""
        return self._template.replace(self._ring_id, str(uuid.uuid4())).replace(self._tag, str(uuid.uuid4()))


class DoorbellMessages(dict[str, DoorbellMessage]):
    """The doorbells by queue, each made at its first ring."""

    def __missing__(self, queue: str) -> DoorbellMessage:
        message = self[queue] = DoorbellMessage(queue)
        return message


class Doorbell:
    """Rings from worker and controller processes. Catches every error of Redis: a lost ring costs a tick."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url, **client_options(settings), retry=retry_once())
        self._pause_s = settings.redis_timeout_seconds * 2
        self._paused_until = 0.0
        self._ring = self._redis.register_script(_RING)
        self._messages = DoorbellMessages()

    def ring(self, queue: str) -> bool | None:
        """Ring for a queue. Returns False if an unanswered ring is already waiting, None if Redis is unavailable."""
        if time.monotonic() < self._paused_until:
            return None  # Redis hangs: a worker must not wait for it at every claim
        text = self._messages[queue].text()
        failpoints.reach("ring.before_publish")
        try:
            return bool(self._ring(keys=[celery_queue(queue)], args=[text]))
        except redis.TimeoutError:
            self._paused_until = time.monotonic() + self._pause_s
            return None
        except (redis.RedisError, OSError):
            return None


async def ring_async(client: redis.asyncio.Redis, message: DoorbellMessage, queue: str) -> bool:
    """Ring for a queue. Returns False if an unanswered ring is already waiting.

    Raises redis.RedisError or OSError if Redis is unavailable.
    """
    failpoints.reach("ring.before_publish")
    return bool(await client.eval(_RING, 1, celery_queue(queue), message.text()))

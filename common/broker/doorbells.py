"""Doorbells: "there is work in queue Q", as Celery messages that carry neither payload nor job id.

Celery is not imported here: `send_task` costs 1.8 ms of CPU a ring, the message of a queue changes in nothing but its ids, and
the API and the controller save Celery's 20 MB. A test holds the message against what the installed Celery makes.
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
PREFIX = "jobproc."  # of every Celery queue, so of every Redis list

# A ring may be left out only while an earlier one is known to be not yet answered: it still lies in the list, and whoever
# takes it claims after taking it, so after this commit. One script, so nothing can come between the look and the push.
_RING = "if redis.call('LLEN', KEYS[1]) > 0 then return 0 end redis.call('LPUSH', KEYS[1], ARGV[1]) return 1"


def celery_queue(queue: str) -> str:
    """Return the Celery queue, and Redis key, of a queue."""
    return PREFIX + queue


def celery_message(queue: str, ring_id: str, delivery_tag: str, origin: str = "jobproc") -> dict[str, Any]:
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


def queue_of_message(found: Any) -> str | None:
    """Return the queue that a message out of Redis rings for; None when it is not a doorbell of this form."""
    try:
        arguments = json.loads(base64.b64decode(found["body"], validate=True))[0]
        queue, properties = arguments[0], found["properties"]
        wanted = celery_message(queue, found["headers"]["id"], properties["delivery_tag"], found["headers"]["origin"])
        wanted["properties"]["reply_to"] = properties["reply_to"]
    except (TypeError, ValueError, LookupError, RecursionError):
        return None
    return queue if isinstance(queue, str) and found == wanted else None


class DoorbellMessage:
    """The doorbell of one queue as text, made once; each ring gets fresh ids."""

    def __init__(self, queue: str) -> None:
        self._ring, self._tag = str(uuid.uuid4()), str(uuid.uuid4())
        self._made = json.dumps(celery_message(queue, self._ring, self._tag))

    def text(self) -> str:
        """Return the message of one ring."""
        return self._made.replace(self._ring, str(uuid.uuid4())).replace(self._tag, str(uuid.uuid4()))


class DoorbellMessages(dict[str, DoorbellMessage]):
    """The doorbells of queues, each made when it is first rung."""

    def __missing__(self, queue: str) -> DoorbellMessage:
        made = self[queue] = DoorbellMessage(queue)
        return made


class Doorbell:
    """Rings from worker and controller processes. Never raises what Redis does: a lost ring costs a tick."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(settings.redis_url, **client_options(settings), retry=retry_once())
        self._pause_s = settings.redis_timeout_seconds * 2
        self._paused_until = 0.0
        self._ring = self._redis.register_script(_RING)
        self._messages = DoorbellMessages()

    def ring(self, queue: str) -> bool | None:
        """Ring for a queue. Returns False when an unanswered ring is there already, None when Redis is away."""
        if time.monotonic() < self._paused_until:
            return None  # it hangs: who has work must not wait for it at every claim
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
    """Ring for a queue; False when an unanswered ring is there already. Raises redis.RedisError or OSError when Redis is away."""
    failpoints.reach("ring.before_publish")
    return bool(await client.eval(_RING, 1, celery_queue(queue), message.text()))

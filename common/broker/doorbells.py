"""Doorbells: Celery messages that say "there is work in queue Q", without payload or job id.

Celery is not imported here. Its `send_task` costs 1.8 ms of CPU a ring, the messages of a queue differ only in their
ids, and the API and the controller save Celery's 20 MB. A test compares the message with that of the installed Celery.
"""

import base64
import json
import re
import time
import uuid
from typing import Any

from common import failpoints
from common.broker.redis_client import client_options, reason, redis, retry_once
from common.settings import Settings

TASK = "jobproc.serve"
PREFIX = "jobproc."  # of every Celery queue, and so of its Redis list
MAX_BYTES = 2_048  # of a message; a doorbell of the longest name of a queue, with the longest origin, has 1,265
#: Of the keys of a Celery queue, which has a list for each priority. Doorbells have the first.
LIST_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ORIGIN = re.compile("[A-Za-z0-9_.@-]{1,128}")  # of Celery: gen<pid>@<host>; the name of a host has up to 64 characters

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


class NoDoorbellError(Exception):
    """A text in the Redis list of a queue is not a doorbell of that queue."""


def check_doorbell(text: bytes, queue: str) -> None:
    """Raise NoDoorbellError unless a text from the Redis list of a queue is a doorbell of exactly the form above.

    Celery's own messages for the same task pass too: they differ in the order, in `origin` and in `reply_to`. So do 0.0
    and false in place of 0, which Python takes for equal: hand on another doorbell in place of the text.
    """
    if len(text) > MAX_BYTES:
        raise NoDoorbellError(f"too large: {len(text)} bytes")
    try:
        message = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise NoDoorbellError(f"not JSON: {error}"[:200]) from None
    try:
        headers, properties = message["headers"], message["properties"]
        ring_id, tag, origin = headers["id"], properties["delivery_tag"], headers["origin"]
        reply_to = properties["reply_to"]
        # Each has a type and a form that no consumer can fail on: `fullmatch` raises TypeError for all but strings.
        is_formed = _UUID.fullmatch(ring_id) and _UUID.fullmatch(tag) and _ORIGIN.fullmatch(origin)
        is_formed = is_formed and (reply_to == "" or _UUID.fullmatch(reply_to))
    except (TypeError, LookupError):
        is_formed = None
    if not is_formed:
        raise NoDoorbellError("not a doorbell")
    expected = celery_message(queue, ring_id, tag, origin)
    expected["properties"]["reply_to"] = reply_to
    if message != expected:
        raise NoDoorbellError("not a doorbell of this queue")


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
    """Rings and discards doorbells in worker and controller processes.

    Catches every error of Redis: a lost ring costs a tick.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(settings.redis_server.url, **client_options(settings), retry=retry_once())
        self._pause_s = settings.redis_timeout_seconds * 2
        self._paused_until = 0.0
        self._tls = settings.redis_server.tls
        self.failure = ""  #: why the last ring failed; empty: it has not
        self._ring = self._redis.register_script(_RING)
        self._messages = DoorbellMessages()

    def ring(self, queue: str) -> bool | None:
        """Ring for a queue. Returns False if an unanswered ring is already waiting, None if Redis is unavailable."""
        if time.monotonic() < self._paused_until:
            return None  # Redis hangs: a worker must not wait for it at every claim
        text = self._messages[queue].text()
        failpoints.reach("ring.before_publish")
        try:
            is_new = bool(self._ring(keys=[celery_queue(queue)], args=[text]))
        except (redis.RedisError, OSError) as error:
            self.failure = reason(error, self._tls)
            if isinstance(error, redis.TimeoutError):
                self._paused_until = time.monotonic() + self._pause_s
            return None
        self.failure = ""
        return is_new

    def discard(self, queue: str) -> None:
        """Delete all doorbells of a queue that no worker has taken. The caller then claims from the queue."""
        if time.monotonic() < self._paused_until:
            return
        try:
            self._redis.unlink(*(celery_queue(queue) + suffix for suffix in LIST_SUFFIXES))
        except redis.TimeoutError:
            self._paused_until = time.monotonic() + self._pause_s
        except (redis.RedisError, OSError):
            pass


async def ring_async(client: redis.asyncio.Redis, message: DoorbellMessage, queue: str) -> bool:
    """Ring for a queue. Returns False if an unanswered ring is already waiting.

    Raises redis.RedisError or OSError if Redis is unavailable.
    """
    failpoints.reach("ring.before_publish")
    return bool(await client.eval(_RING, 1, celery_queue(queue), message.text()))

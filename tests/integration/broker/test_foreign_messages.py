"""Messages in the Redis lists that are not doorbells are dropped, and the worker continues."""

import base64
import json
import pickle
from typing import Any

import redis
from rig.system import System, until

from common.broker.doorbells import DoorbellMessage, celery_message, celery_queue

KEY = celery_queue("default")


def _changed(**headers: Any) -> dict[str, Any]:
    message = celery_message("default", "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
    message["headers"] |= headers
    return message


def _with_body(body: Any, **parts: Any) -> str:
    encoded = base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode()
    return json.dumps(_changed() | {"body": encoded} | parts)


FOREIGN: dict[str, str | bytes] = {
    "empty": "",
    "not JSON": "garbage",
    "half a message": DoorbellMessage("default").text()[:200],
    "not a message": "[1, 2, 3]",
    "a number": "7",
    "an empty object": "{}",
    "not text": b"\xff\xfe\x00\x01",
    "no properties": json.dumps({"body": "", "headers": {}}),
    "no base64": json.dumps(_changed() | {"body": "***"}),
    "a body that is not JSON": _with_body(b"{]"),
    "a body that is no list": _with_body(7),
    "no arguments": _with_body([[], {}, {}]),
    "too many arguments": _with_body([["default", "default"], {"x": 1}, {}]),
    "an unknown queue": _with_body([["nobody"], {}, {}]),
    "a queue that is no text": _with_body([[{"a": [1]}], {}, {}]),
    "an unknown task": json.dumps(_changed(task="os.system")),
    "no task": json.dumps({k: v for k, v in _changed().items() if k != "headers"} | {"headers": {}}),
    "pickle": _with_body(
        pickle.dumps((["default"], {}, {})),
        **{"content-type": "application/x-python-serialize", "content-encoding": "binary"},
    ),
    "an unknown content type": _with_body([["default"], {}, {}], **{"content-type": "application/x-unheard-of"}),
    "not before the year 9999": json.dumps(_changed(eta="9999-12-31T23:59:59+00:00")),
    "expired": json.dumps(_changed(expires="2000-01-01T00:00:00+00:00")),
    "its own time limit": json.dumps(_changed(timelimit=[0.001, 0.001])),
    "retried": json.dumps(_changed(retries=10**9)),
    "a callback": _with_body(
        [["default"], {}, {"callbacks": [{"task": "os.system", "args": ["id"], "kwargs": {}, "options": {}}]}]
    ),
    "very long": _with_body([["x" * 3_000_000], {}, {}]),
}


def test_a_foreign_message_is_dropped_and_the_worker_continues(system: System) -> None:
    """Parent and process stay the same, no message is redelivered, and the job behind the messages runs."""
    system.worker(concurrency=1).api()
    parent, children = system.processes["worker"], system.children()
    fatal, stalling = [], []
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:

        def taken() -> bool:
            return client.llen(KEY) == 0 or parent.poll() is not None

        for kind, text in FOREIGN.items():
            client.lpush(KEY, text, text, text)
            try:
                until("the messages have been taken", taken, limit_s=5)
                job = system.wait(system.submit("noop", 1), limit_s=3)
                assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
                until("the doorbells have been taken and no message was redelivered", taken, limit_s=3)
            except AssertionError:
                stalling.append(kind)
            if parent.poll() is not None or system.children() != children:
                fatal.append(kind)
                client.flushdb()
                system.end("worker")
                system.worker(concurrency=1)
                parent, children = system.processes["worker"], system.children()
        assert (fatal, stalling) == ([], [])
        assert {key.decode() for key in client.keys("*")} <= {
            f"_kombu.binding.{KEY}",
            f"_kombu.binding_permanent.{KEY}",
        }


def test_duplicate_doorbells_change_nothing(system: System) -> None:
    """A duplicate costs an empty claim."""
    system.worker(concurrency=2).api()
    jobs = []
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        for n in range(60):
            jobs.append(system.submit("effect", 0.002, n))
            client.lpush(KEY, *[DoorbellMessage("default").text() for _ in range(2)])
    system.wait_all()
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert sorted(started) == sorted(jobs)
    assert system.database.value("SELECT max(attempt) FROM outcomes") == 1

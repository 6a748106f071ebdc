"""What a ring is, how many there are, and what is left of them in Redis."""

import base64
import json
from typing import Any

import redis
from celery import Celery
from kombu import Queue
from rig.system import System, until

from common.broker.celery_settings import celery_settings
from common.broker.doorbells import TASK, Doorbell, DoorbellMessage, celery_message, celery_queue
from common.settings import Settings


def _celery(settings: Settings, *queues: str) -> Celery:
    """Return an app as the worker sets it up."""
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_settings(settings), task_queues=[Queue(celery_queue(q), routing_key=celery_queue(q)) for q in queues])
    return app


def _list(url: str, queue: str) -> list[bytes]:
    with redis.Redis.from_url(url) as client:
        return list(client.lrange(celery_queue(queue), 0, -1))


def _keys(url: str) -> set[str]:
    with redis.Redis.from_url(url) as client:
        return {key.decode() for key in client.keys("*")}


def _without_ids(text: bytes) -> dict[str, Any]:
    """Return a message with its body opened and what differs from ring to ring, or from sender to sender, checked and left out."""
    found: dict[str, Any] = json.loads(text)
    headers, properties = found["headers"], found["properties"]
    assert headers["id"] == headers["root_id"] == properties["correlation_id"]
    assert len(headers["id"]) == len(properties["delivery_tag"]) == 36
    for name in ("id", "root_id", "origin"):
        assert isinstance(headers.pop(name), str)
    for name in ("correlation_id", "delivery_tag", "reply_to"):
        assert isinstance(properties.pop(name), str)
    found["body"] = json.loads(base64.b64decode(found["body"]))
    return found


def test_a_ring_is_the_message_that_the_installed_celery_publishes(settings: Settings) -> None:
    """Celery makes it for 1.8 ms of CPU; here it is text made once. If a new Celery says it otherwise, this fails."""
    with _celery(settings, "default") as app:
        app.send_task(TASK, args=("default",), queue=celery_queue("default"), ignore_result=True)
    (published,) = _list(settings.redis_url, "default")
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushdb()
    Doorbell(settings).ring("default")
    (rung,) = _list(settings.redis_url, "default")
    assert _without_ids(rung) == _without_ids(published)
    assert set(json.loads(rung)["headers"]) == set(json.loads(published)["headers"])
    assert set(json.loads(rung)["properties"]) == set(json.loads(published)["properties"])


def test_every_ring_has_ids_of_its_own_and_a_queue_with_odd_characters_stays_whole() -> None:
    queue = "a_b.c-9"
    made = DoorbellMessage(queue)
    first, second = json.loads(made.text()), json.loads(made.text())
    assert first["headers"]["id"] != second["headers"]["id"]
    assert first["properties"]["delivery_tag"] != second["properties"]["delivery_tag"]
    expected = celery_message(queue, first["headers"]["id"], first["properties"]["delivery_tag"])
    assert first == expected
    assert json.loads(base64.b64decode(first["body"]))[0] == [queue]


def test_a_ring_names_a_queue_and_carries_neither_payload_nor_job(settings: Settings) -> None:
    Doorbell(settings).ring("default")
    (rung,) = _list(settings.redis_url, "default")
    assert json.loads(base64.b64decode(json.loads(rung)["body"]))[:2] == [["default"], {}]


def test_a_thousand_rings_are_one_while_nobody_answers(settings: Settings) -> None:
    """Of each queue. Who rings learns that an unanswered ring is there already."""
    doorbell = Doorbell(settings)
    answers = [doorbell.ring(queue) for _ in range(1_000) for queue in ("default", "slow")]
    assert answers == [True, True] + [False] * 1_998
    assert (len(_list(settings.redis_url, "default")), len(_list(settings.redis_url, "slow"))) == (1, 1)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(celery_queue("default"))
    assert doorbell.ring("default") is True


def test_submissions_leave_one_ring_however_many_they_are(system: System) -> None:
    """No worker runs; a backlog costs Redis one message."""
    system.api()
    for n in range(100):
        system.submit("square_sum", n)
    system.submit_many("square_sum", [[n] for n in range(1_000)])
    assert len(_list(system.env["REDIS_URL"], "default")) == 1
    assert _keys(system.env["REDIS_URL"]) == {"jobproc.default"}


def test_a_full_claim_wakes_a_second_process(system: System) -> None:
    """One ring for many jobs and no controller: processes wake in a chain. Without it one process would run them in turn."""
    system.worker(concurrency=2).api()
    system.submit_many("effect", [[0.5, n] for n in range(4)])
    system.wait_all()
    lines = system.effects()
    assert len({line["pid"] for line in lines}) == 2
    begun = sorted(line["at"] for line in lines if line["phase"] == "begin")
    first_end = min(line["at"] for line in lines if line["phase"] == "end")
    assert begun[1] < first_end


def test_nothing_but_doorbells_is_ever_in_redis(system: System) -> None:
    """No unacknowledged messages, no pidbox, no events, no results, no subscriptions: what is not there cannot pile up."""
    system.all()
    seen: set[str] = set()
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        mine = str(client.client_info()["db"])

        def look() -> bool:
            seen.update(_keys(system.env["REDIS_URL"]))
            assert [one for one in client.client_list(_type="pubsub") if one["db"] == mine] == []  # channels are of the whole server
            return not system.database.one("SELECT count(*) FROM live")

        for _ in range(5):
            system.submit_many("noop", [[n] for n in range(200)])
            until("all have ended", look)
        seen.update(_keys(system.env["REDIS_URL"]))
        assert system.end("worker") == 0
        seen.update(_keys(system.env["REDIS_URL"]))
    # Kombu writes down that the queue exists; rings do not need it.
    assert seen <= {"jobproc.default", "_kombu.binding.jobproc.default", "_kombu.binding_permanent.jobproc.default"}


def test_who_can_write_to_redis_cannot_command_a_worker(system: System, settings: Settings) -> None:
    """Remote control is off: no answer to a ping, no obedience to a shutdown."""
    system.worker(concurrency=1).api()
    with _celery(settings, "default") as app:
        assert app.control.ping(timeout=0.5) == []
        app.control.broadcast("shutdown")
        app.control.broadcast("pool_restart", arguments={"reload": True})
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    assert system.processes["worker"].poll() is None

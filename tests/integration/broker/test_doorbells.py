"""Doorbells: their form, their number, and the keys that they leave in Redis."""

import base64
import json
from typing import Any

import redis
from celery import Celery
from kombu import Queue
from rig.system import System, until

from common.broker.celery_settings import celery_settings
from common.broker.doorbells import (
    LIST_SUFFIXES,
    TASK,
    Doorbell,
    DoorbellMessage,
    celery_message,
    celery_queue,
    check_doorbell,
)
from common.settings import Settings


def _celery(settings: Settings, *queues: str) -> Celery:
    """Return an app with the settings of a worker."""
    app = Celery("test", set_as_current=False)
    app.conf.update(
        celery_settings(settings), task_queues=[Queue(celery_queue(q), routing_key=celery_queue(q)) for q in queues]
    )
    return app


def _messages(url: str, queue: str) -> list[bytes]:
    with redis.Redis.from_url(url) as client:
        return list(client.lrange(celery_queue(queue), 0, -1))


def _keys(url: str) -> set[str]:
    with redis.Redis.from_url(url) as client:
        return {key.decode() for key in client.keys("*")}


def _without_ids(text: bytes) -> dict[str, Any]:
    """Return a message with its body decoded. Fields that differ by message or sender are checked and removed."""
    message: dict[str, Any] = json.loads(text)
    headers, properties = message["headers"], message["properties"]
    assert headers["id"] == headers["root_id"] == properties["correlation_id"]
    assert len(headers["id"]) == len(properties["delivery_tag"]) == 36
    for name in ("id", "root_id", "origin"):
        assert isinstance(headers.pop(name), str)
    for name in ("correlation_id", "delivery_tag", "reply_to"):
        assert isinstance(properties.pop(name), str)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    return message


def test_a_doorbell_equals_the_message_that_the_installed_celery_publishes(settings: Settings) -> None:
    """Celery builds a message in 1.8 ms of CPU, a doorbell is a prepared text. A new form in Celery fails this test."""
    with _celery(settings, "default") as app:
        app.send_task(TASK, args=("default",), queue=celery_queue("default"), ignore_result=True)
    (published,) = _messages(settings.redis_url, "default")
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushdb()
    Doorbell(settings).ring("default")
    (rung,) = _messages(settings.redis_url, "default")
    assert _without_ids(rung) == _without_ids(published)
    assert set(json.loads(rung)["headers"]) == set(json.loads(published)["headers"])
    assert set(json.loads(rung)["properties"]) == set(json.loads(published)["properties"])
    check_doorbell(rung, "default")
    check_doorbell(published, "default")


def test_every_doorbell_has_new_ids_and_keeps_the_punctuation_of_its_queue() -> None:
    queue = "a_b.c-9"
    doorbell = DoorbellMessage(queue)
    first, second = json.loads(doorbell.text()), json.loads(doorbell.text())
    assert first["headers"]["id"] != second["headers"]["id"]
    assert first["properties"]["delivery_tag"] != second["properties"]["delivery_tag"]
    expected = celery_message(queue, first["headers"]["id"], first["properties"]["delivery_tag"])
    assert first == expected
    assert json.loads(base64.b64decode(first["body"]))[0] == [queue]


def test_a_doorbell_names_a_queue_and_has_neither_payload_nor_job_id(settings: Settings) -> None:
    Doorbell(settings).ring("default")
    (rung,) = _messages(settings.redis_url, "default")
    assert json.loads(base64.b64decode(json.loads(rung)["body"]))[:2] == [["default"], {}]


def test_a_thousand_doorbells_of_a_queue_are_one_until_a_worker_takes_it(settings: Settings) -> None:
    """`ring` returns False while the queue already has a doorbell."""
    doorbell = Doorbell(settings)
    sent = [doorbell.ring(queue) for _ in range(1_000) for queue in ("default", "slow")]
    assert sent == [True, True] + [False] * 1_998
    assert (len(_messages(settings.redis_url, "default")), len(_messages(settings.redis_url, "slow"))) == (1, 1)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.delete(celery_queue("default"))
    assert doorbell.ring("default") is True


def test_the_lists_of_a_queue_are_those_that_the_installed_kombu_reads(settings: Settings) -> None:
    with _celery(settings, "default") as app, app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        lists = [channel._q_for_pri("", step) for step in channel.priority_steps]
    assert list(LIST_SUFFIXES) == lists


def test_discarded_doorbells_are_those_of_all_lists_of_one_queue(settings: Settings) -> None:
    doorbell = Doorbell(settings)
    with redis.Redis.from_url(settings.redis_url) as client:
        for suffix in LIST_SUFFIXES:
            client.lpush(celery_queue("default") + suffix, *["text"] * 10)
        doorbell.ring("slow")
        doorbell.discard("default")
    assert _keys(settings.redis_url) == {"jobproc.slow"}
    Doorbell(Settings(redis_url="redis://127.0.0.1:1/0")).discard("default")


def test_any_number_of_submissions_leaves_one_doorbell(system: System) -> None:
    """No worker runs: a backlog costs Redis one message."""
    system.api()
    for n in range(100):
        system.submit("square_sum", n)
    system.submit_many("square_sum", [[n] for n in range(1_000)])
    assert len(_messages(system.env["REDIS_URL"], "default")) == 1
    assert _keys(system.env["REDIS_URL"]) == {"jobproc.default"}


def test_a_full_claim_wakes_a_second_process(system: System) -> None:
    """One doorbell for many jobs, and no controller: a process that claims a full batch rings for the next process."""
    system.worker(concurrency=2).api()
    system.submit_many("effect", [[0.5, n] for n in range(4)])
    system.wait_all()
    lines = system.effects()
    assert len({line["pid"] for line in lines}) == 2
    begins = sorted(line["at"] for line in lines if line["phase"] == "begin")
    first_end = min(line["at"] for line in lines if line["phase"] == "end")
    assert begins[1] < first_end


def test_nothing_but_doorbells_is_ever_in_redis(system: System) -> None:
    """No unacknowledged messages, pidbox, events, results or subscriptions, so none of them can grow."""
    system.all()
    seen: set[str] = set()
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        own_db = str(client.client_info()["db"])

        def all_ended() -> bool:
            seen.update(_keys(system.env["REDIS_URL"]))
            # Channels belong to the whole server, so subscribers of other databases are left out.
            assert [peer for peer in client.client_list(_type="pubsub") if peer["db"] == own_db] == []
            return not system.database.value("SELECT count(*) FROM live")

        for _ in range(5):
            system.submit_many("noop", [[n] for n in range(200)])
            until("all jobs have ended", all_ended)
        seen.update(_keys(system.env["REDIS_URL"]))
        assert system.end("worker") == 0
        seen.update(_keys(system.env["REDIS_URL"]))
    # Kombu stores the existence of the queue; doorbells do not need it.
    assert seen <= {"jobproc.default", "_kombu.binding.jobproc.default", "_kombu.binding_permanent.jobproc.default"}


def test_write_access_to_redis_gives_no_remote_control_of_a_worker(system: System, settings: Settings) -> None:
    """Remote control is off: a worker ignores ping, shutdown and pool restart."""
    system.worker(concurrency=1).api()
    with _celery(settings, "default") as app:
        assert app.control.ping(timeout=0.5) == []
        app.control.broadcast("shutdown")
        app.control.broadcast("pool_restart", arguments={"reload": True})
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    assert system.processes["worker"].poll() is None

"""Doorbells as text, and Celery's settings. Integration tests try both with Celery and Redis."""

import base64
import json
from uuid import UUID

import pytest
from celery.app.defaults import NAMESPACES, flatten
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.broker.celery_settings import celery_settings
from common.broker.doorbells import (
    MAX_BYTES,
    DoorbellMessage,
    DoorbellMessages,
    NoDoorbellError,
    celery_message,
    celery_queue,
    check_doorbell,
)
from common.settings import Settings


@given(st.text())
@example('say "hi"\\')
@example("100% %s %d %(x)s %%")
@example("ü\n\ud800\x00")
@settings(deadline=None, max_examples=200)
def test_the_text_of_a_ring_is_the_celery_message_for_any_name_of_a_queue(queue: str) -> None:
    message = json.loads(DoorbellMessage(queue).text())
    ring_id, tag = message["properties"]["correlation_id"], message["properties"]["delivery_tag"]
    assert message == celery_message(queue, ring_id, tag)
    UUID(ring_id), UUID(tag)


def test_each_ring_has_its_own_ids() -> None:
    doorbell = DoorbellMessage("default")
    messages = [json.loads(doorbell.text()) for _ in range(100)]
    ring_ids = {message["headers"]["id"] for message in messages}
    tags = {message["properties"]["delivery_tag"] for message in messages}
    assert len(ring_ids | tags) == 200
    for message in messages:
        headers, properties = message["headers"], message["properties"]
        assert headers["id"] == headers["root_id"] == properties["correlation_id"]


def test_the_message_of_a_queue_is_serialised_once() -> None:
    """Serialising takes three times as long as replacing the ids."""
    messages = DoorbellMessages()
    assert messages["default"] is messages["default"] is not messages["slow"]


def test_a_doorbell_carries_the_name_of_the_queue_and_nothing_of_a_job() -> None:
    message = celery_message("slow", "ring", "tag")
    assert json.loads(base64.b64decode(message["body"]))[:2] == [["slow"], {}]
    assert message["headers"]["task"] == "jobproc.serve"
    assert message["properties"]["delivery_info"] == {"exchange": "", "routing_key": "jobproc.slow"}


def test_every_queue_has_its_own_redis_list_under_the_prefix() -> None:
    assert celery_queue("default") == "jobproc.default"
    assert celery_queue("a") != celery_queue("b")


ID, TAG = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def _text(queue: str = "default", origin: str = "jobproc", reply_to: str = "") -> bytes:
    message = celery_message(queue, ID, TAG, origin)
    message["properties"]["reply_to"] = reply_to
    return json.dumps(message).encode()


@pytest.mark.parametrize("queue", ["default", "a_b.c-9", "q" * 63])
@pytest.mark.parametrize(("origin", "reply_to"), [("jobproc", ""), ("gen12@a-host.example", ID), ("o" * 128, ID)])
def test_a_doorbell_passes_the_check_whoever_sent_it_and_has_two_thirds_of_the_largest_size(
    queue: str, origin: str, reply_to: str
) -> None:
    text = _text(queue, origin, reply_to)
    check_doorbell(text, queue)
    check_doorbell(json.dumps(json.loads(text), sort_keys=True).encode(), queue)
    assert len(text) < MAX_BYTES * 2 / 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b" " * MAX_BYTES + _text(), "too large"),
        (b"\xff" + _text(), "not JSON"),
        (_text()[:-1], "not JSON"),
        (b"[" * MAX_BYTES, "not JSON"),
        (b"[" * (MAX_BYTES + 1), "too large"),
        (b"null", "not a doorbell"),
        (_text().replace(ID.encode(), TAG.upper().replace("2", "A").encode()), "not a doorbell"),
        (_text().replace(ID.encode(), ID.encode() + b"\\n"), "not a doorbell"),
        (_text(origin=""), "not a doorbell"),
        (_text(origin="a host"), "not a doorbell"),
        (_text(origin="o" * 129), "not a doorbell"),
        (_text(reply_to="x"), "not a doorbell"),
        (_text("slow"), "not a doorbell of this queue"),
        (_text().replace(b'"retries": 0', b'"retries": 1'), "not a doorbell of this queue"),
        (_text().replace(b'"lang": "py", ', b""), "not a doorbell of this queue"),
        (_text().replace(b'"lang": "py"', b'"lang": "py", "chord": null'), "not a doorbell of this queue"),
    ],
)  # fmt: skip
def test_any_other_text_fails_the_check(text: bytes, reason: str) -> None:
    with pytest.raises(NoDoorbellError, match=f"^{reason}"):
        check_doorbell(text, "default")


def test_celery_knows_every_setting_that_it_gets(bare: pytest.MonkeyPatch) -> None:
    """Celery ignores unknown settings silently."""
    known = dict(flatten(NAMESPACES))
    assert set(celery_settings(Settings())) <= set(known)


def test_celery_is_configured_to_lose_doorbells_rather_than_to_repeat_them(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("REDIS_URL", "redis://elsewhere:1/2")
    bare.setenv("JOBPROC_REDIS_TIMEOUT_SECONDS", "0.7")
    celery = celery_settings(Settings())
    assert celery["broker_url"] == "redis://elsewhere:1/2"
    assert celery["accept_content"] == ["json"]
    assert not celery["task_acks_late"]
    assert not celery["worker_enable_remote_control"]
    assert celery["result_backend"] is None
    assert celery["broker_connection_max_retries"] is None
    assert celery["broker_connection_timeout"] == 0.7
    options = celery["broker_transport_options"]
    assert options["ack_emulation"] is False
    assert options["socket_connect_timeout"] == 0.7
    assert 0 < options["socket_timeout"] <= 10

"""Doorbells as text, and Celery's settings. What Celery and Redis make of them is tried on real servers."""

import base64
import json
from uuid import UUID

import pytest
from celery.app.defaults import NAMESPACES, flatten
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.broker.celery_settings import celery_settings
from common.broker.doorbells import DoorbellMessage, DoorbellMessages, celery_message, celery_queue
from common.settings import Settings


@given(st.text())
@example('say "hi"\\')
@example("100% %s %d %(x)s %%")
@example("ü\n\ud800\x00")
@settings(deadline=None, max_examples=200)
def test_the_text_of_a_ring_is_the_message_whatever_the_queue_is_called(queue: str) -> None:
    made = json.loads(DoorbellMessage(queue).text())
    ring, tag = made["properties"]["correlation_id"], made["properties"]["delivery_tag"]
    assert made == celery_message(queue, ring, tag)
    UUID(ring), UUID(tag)


def test_each_ring_has_ids_of_its_own() -> None:
    doorbell = DoorbellMessage("default")
    made = [json.loads(doorbell.text()) for _ in range(100)]
    rings = {one["headers"]["id"] for one in made}
    tags = {one["properties"]["delivery_tag"] for one in made}
    assert len(rings | tags) == 200
    for one in made:
        assert one["headers"]["id"] == one["headers"]["root_id"] == one["properties"]["correlation_id"]


def test_the_message_of_a_queue_is_made_once() -> None:
    """Making one takes three times as long as giving it fresh ids."""
    messages = DoorbellMessages()
    assert messages["default"] is messages["default"] is not messages["slow"]


def test_a_ring_carries_the_name_of_the_queue_and_nothing_of_a_job() -> None:
    made = celery_message("slow", "ring", "tag")
    assert json.loads(base64.b64decode(made["body"]))[:2] == [["slow"], {}]
    assert made["headers"]["task"] == "jobproc.serve"
    assert made["properties"]["delivery_info"] == {"exchange": "", "routing_key": "jobproc.slow"}


def test_every_queue_has_a_list_of_its_own_under_the_prefix() -> None:
    assert celery_queue("default") == "jobproc.default"
    assert celery_queue("a") != celery_queue("b")


def test_celery_knows_every_setting_that_it_is_given(bare: pytest.MonkeyPatch) -> None:
    """It ignores unknown ones without a word."""
    known = dict(flatten(NAMESPACES))
    assert set(celery_settings(Settings())) <= set(known)


def test_celery_is_set_to_lose_doorbells_rather_than_to_repeat_work(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("REDIS_URL", "redis://elsewhere:1/2")
    bare.setenv("JOBPROC_REDIS_TIMEOUT_SECONDS", "0.7")
    made = celery_settings(Settings())
    assert made["broker_url"] == "redis://elsewhere:1/2"
    assert made["accept_content"] == ["json"]
    assert not made["task_acks_late"]
    assert not made["worker_enable_remote_control"]
    assert made["result_backend"] is None
    assert made["broker_connection_max_retries"] is None
    assert made["broker_connection_timeout"] == 0.7
    options = made["broker_transport_options"]
    assert options["ack_emulation"] is False
    assert options["socket_connect_timeout"] == 0.7
    assert 0 < options["socket_timeout"] <= 10

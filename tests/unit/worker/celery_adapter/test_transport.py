"""Celery's Redis transport, which puts a doorbell made here in place of each that it takes, and drops the rest."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty
from typing import Any, cast
from uuid import UUID

import pytest
from kombu.transport import virtual
from kombu.utils.scheduling import round_robin_cycle
from rig.hostile_messages import QUEUE, doorbell, fuzzed, huge, with_hostile_ids
from structlog.testing import capture_logs

from common.broker.doorbells import DoorbellMessage, celery_message, celery_queue
from common.broker.redis_client import redis
from worker.celery_adapter.transport import Channel, Transport

LIST = celery_queue(QUEUE)


class _Connection:
    """A connection that answers BRPOP with `answer`."""

    answer: Any = None

    def read_response(self, **_options: Any) -> Any:
        return self.answer


class _Receiver:
    """The transport from the answer of Redis up to what Celery does first with a message."""

    def __init__(self, *queues: str) -> None:
        self.transport: Any = Transport.__new__(Transport)
        self.channel = cast("Any", Channel.__new__(Channel))
        self.channel.connection = self.transport
        self.channel.connection_errors = Transport.connection_errors
        self.channel.Client, self.channel._async_pool = redis.Redis, redis.ConnectionPool()
        self.channel.client.connection = self.connection = _Connection()
        self.channel._queue_cycle = round_robin_cycle([celery_queue(queue) for queue in queues])
        self.qos = virtual.QoS(self.channel)
        self.transport._callbacks = {celery_queue(queue): self._deliver for queue in queues}
        self.delivered: list[dict[str, Any]] = []

    def _deliver(self, raw: dict[str, Any]) -> None:
        """Do with a message what Kombu's channel and Celery's worker do: they use ids as keys."""
        message: Any = self.channel.Message(raw, channel=self.channel)
        self.qos.append(message, message.delivery_tag)
        self.qos.ack(message.delivery_tag)
        {message.headers["id"]: message}
        self.delivered.append(raw)

    def receive(self, text: bytes, key: str = LIST) -> list[dict[str, Any]]:
        """Receive a text and return what Celery gets. Raises what would end the worker."""
        self.delivered.clear()
        self.connection.answer = [key.encode(), text]
        with suppress(Empty):  # nothing was received, as after a BRPOP that timed out: Celery's event loop continues
            self.channel._brpop_read()
        return list(self.delivered)

    def receive_all(self, texts: Iterable[bytes]) -> tuple[Counter[str], list[dict[str, Any]]]:
        """Receive texts. Return the errors, each of which would end the worker, and what Celery gets."""
        raised, delivered = Counter[str](), []
        for text in texts:
            try:
                delivered += self.receive(text)
            except Exception as error:  # noqa: BLE001 - whatever its type
                raised[repr(error)] += 1
        return raised, delivered


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    receiver = _Receiver(QUEUE, "slow")
    yield receiver
    receiver.channel.client.connection = None  # the client would release it


def _is_doorbell(message: dict[str, Any]) -> bool:
    """Return True if a message is a doorbell in every value and every type, with ids of the exact form."""
    ring_id, tag = message["headers"]["id"], message["properties"]["delivery_tag"]
    try:
        assert (str(UUID(ring_id)), str(UUID(tag))) == (ring_id, tag)
    except (AttributeError, AssertionError, ValueError):
        return False
    expected = celery_message(QUEUE, ring_id, tag)
    return json.dumps(message, sort_keys=True, default=repr) == json.dumps(expected, sort_keys=True)


def test_a_doorbell_is_delivered(receiver: _Receiver) -> None:
    for text in (DoorbellMessage(QUEUE).text().encode(), json.dumps(doorbell()).encode()):
        (message,) = receiver.receive(text)
        assert _is_doorbell(message)


def test_none_of_ten_thousand_fuzzed_messages_ends_the_worker_or_brings_celery_anything_but_a_doorbell(
    receiver: _Receiver,
) -> None:
    began = time.monotonic()
    with capture_logs() as lines:
        raised, accepted = receiver.receive_all(fuzzed(seed=13, count=10_000))
    assert raised == Counter()
    assert [message for message in accepted if not _is_doorbell(message)] == []
    assert len(accepted) < 1_000
    assert 1 <= sum(line["count"] for line in lines) <= 10_000 - len(accepted)
    assert len(lines) <= time.monotonic() - began + 1, "logged once a second"


def test_a_doorbell_whose_ids_have_another_form_is_dropped(receiver: _Receiver) -> None:
    """Celery uses ids and delivery tags as keys: an object or a list ended the worker."""
    assert receiver.receive_all(with_hostile_ids()) == (Counter(), [])


def test_a_message_of_thirty_megabytes_is_dropped_unparsed(receiver: _Receiver) -> None:
    """Parsing it took seconds under the GIL, which the thread needs that renews the leases."""
    text, before = huge(), time.thread_time()
    with capture_logs() as lines:
        assert receiver.receive(text) == []
    assert time.thread_time() - before < 0.1
    assert [line["event"] for line in lines] == ["invalid_message_dropped"]


def test_a_dropped_message_gives_the_next_turn_to_the_other_queues(receiver: _Receiver) -> None:
    """Redis takes from the first list that is not empty: a flood in one list must not starve the others."""
    for text in (b"garbage", b"{}", b"[]" * 5_000, DoorbellMessage(QUEUE).text().encode()):
        receiver.channel._queue_cycle.update([LIST, celery_queue("slow")])
        receiver.receive(text)
        assert receiver.channel._queue_cycle.items == [celery_queue("slow"), LIST], text


def test_a_poll_that_times_out_drops_nothing(receiver: _Receiver) -> None:
    with capture_logs() as lines, pytest.raises(Empty):
        receiver.channel._brpop_read()
    assert lines == []

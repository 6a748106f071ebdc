"""Change notifications: they pause without a subscriber or without Redis, and never raise an exception."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from common.broker import change_notifications
from common.broker.change_notifications import CHANNEL, ChangeNotifications, ids_of_message
from common.settings import Settings

IDS = ["one", "two"]


class FakeRedis:
    """A server that sends the same reply to every PUBLISH, or none."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.published: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                client, _ = self._server.accept()
                with client:
                    self._reply_to(client)
        except OSError:
            pass

    def _reply_to(self, client: socket.socket) -> None:
        while data := client.recv(65_536):
            if b"HELLO" in data:
                client.sendall(b"%1\r\n+proto\r\n:3\r\n" + b"+OK\r\n" * (data.count(b"*") - 1))
            elif b"PUBLISH" in data:
                self.published.append(data)
                client.sendall(self._reply)
            else:
                client.sendall(b"+OK\r\n" * data.count(b"*"))

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


MakeNotifications = Callable[[bytes], tuple[FakeRedis, ChangeNotifications]]


@pytest.fixture
def make() -> Iterator[MakeNotifications]:
    """A function that starts a server with a reply to every PUBLISH, and returns it with change notifications."""
    pairs: list[tuple[FakeRedis, ChangeNotifications]] = []

    def make_pair(reply: bytes) -> tuple[FakeRedis, ChangeNotifications]:
        redis = FakeRedis(reply)
        pairs.append((redis, ChangeNotifications(Settings(redis_url=f"redis://127.0.0.1:{redis.port}/0"))))
        return pairs[-1]

    yield make_pair
    for redis, notifications in pairs:
        notifications._redis.close()
        redis.close()


def test_every_batch_is_one_message_while_the_channel_has_a_subscriber(make: MakeNotifications) -> None:
    redis, notifications = make(b":1\r\n")
    for _ in range(3):
        notifications.publish(IDS)
    assert not notifications.paused
    assert len(redis.published) == 3
    assert all(CHANNEL.encode() in command and b"one,two" in command for command in redis.published)


def test_notifications_pause_after_a_publish_without_a_subscriber(make: MakeNotifications) -> None:
    redis, notifications = make(b":0\r\n")
    notifications.publish([])
    assert not notifications.paused
    for _ in range(1_000):
        notifications.publish(IDS)
    assert notifications.paused
    assert len(redis.published) <= 1 + (1 / change_notifications.NO_SUBSCRIBER_PAUSE_S)


@pytest.mark.parametrize("reply", [b"", b"-READONLY no\r\n", b"nonsense\r\n"])
def test_notifications_pause_after_an_error_of_redis(make: MakeNotifications, reply: bytes) -> None:
    _, notifications = make(reply)
    began = time.monotonic()
    for _ in range(100):
        notifications.publish(IDS)
    assert notifications.paused
    assert time.monotonic() - began < 2


def test_notifications_pause_while_redis_refuses_connections() -> None:
    notifications = ChangeNotifications(Settings(redis_url="redis://127.0.0.1:1/0"))
    notifications.publish(IDS)
    assert notifications.paused


@pytest.mark.parametrize(
    "message",
    [{"type": "pong", "data": b""}, {"type": "subscribe", "data": 1}, {"type": "message", "data": "text"}, {}],
)
def test_other_replies_of_a_subscription_contain_no_ids(message: dict[str, object]) -> None:
    assert ids_of_message(message) == []


def test_a_message_contains_job_ids() -> None:
    assert ids_of_message({"type": "message", "data": b"one,two"}) == IDS
    assert ids_of_message({"type": "message", "data": b"\xff"}) != []


def test_a_message_of_more_ids_than_a_worker_publishes_is_not_read() -> None:
    largest = ",".join([str(UUID(int=0))] * change_notifications.MAX_IDS).encode()
    assert len(ids_of_message({"type": "message", "data": largest})) == change_notifications.MAX_IDS
    assert ids_of_message({"type": "message", "data": b"x" * 30_000_000}) == []
    assert (
        len(ids_of_message({"type": "message", "data": b"," * change_notifications.MAX_BYTES}))
        == change_notifications.MAX_IDS
    )


def test_more_ids_than_fit_a_message_are_published_in_several(make: MakeNotifications) -> None:
    redis, notifications = make(b":1\r\n")
    ids = [str(UUID(int=number)) for number in range(2 * change_notifications.MAX_IDS + 1)]
    notifications.publish(ids)
    texts = b"".join(redis.published).decode().split("\r\n")
    messages = [ids_of_message({"type": "message", "data": text.encode()}) for text in texts if ids[0][:20] in text]
    assert [len(message) for message in messages] == [change_notifications.MAX_IDS, change_notifications.MAX_IDS, 1]
    assert [job_id for message in messages for job_id in message] == ids

"""Who tells which jobs have changed: nothing while nobody listens or Redis is away, and never an exception."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from common.broker import change_feed
from common.broker.change_feed import CHANNEL, ChangeFeed, ids_of_message
from common.settings import Settings

IDS = ["one", "two"]


class Redis:
    """Answers each command with the same, or not at all."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
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
                    self._talk(client)
        except OSError:
            pass

    def _talk(self, client: socket.socket) -> None:
        while data := client.recv(65_536):
            if b"PUBLISH" in data:
                self.published.append(data)
                client.sendall(self._answer)
            else:
                client.sendall(b"+OK\r\n" * data.count(b"*"))

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


@pytest.fixture
def make() -> Iterator[Callable[[bytes], tuple[Redis, ChangeFeed]]]:
    """Make a server that answers so, and one who tells."""
    made: list[tuple[Redis, ChangeFeed]] = []

    def both(answer: bytes) -> tuple[Redis, ChangeFeed]:
        redis = Redis(answer)
        made.append((redis, ChangeFeed(Settings(redis_url=f"redis://127.0.0.1:{redis.port}/0?protocol=2"))))
        return made[-1]

    yield both
    for one, feed in made:
        feed._redis.close()
        one.close()


def test_while_somebody_listens_every_batch_is_one_message(make: Callable[[bytes], tuple[Redis, ChangeFeed]]) -> None:
    redis, feed = make(b":1\r\n")
    for _ in range(3):
        feed.publish(IDS)
    assert not feed.paused
    assert len(redis.published) == 3
    assert all(CHANNEL.encode() in one and b"one,two" in one for one in redis.published)


def test_while_nobody_listens_it_is_said_once_in_a_while(make: Callable[[bytes], tuple[Redis, ChangeFeed]]) -> None:
    redis, feed = make(b":0\r\n")
    feed.publish([])
    assert not feed.paused
    for _ in range(1_000):
        feed.publish(IDS)
    assert feed.paused
    assert len(redis.published) <= 1 + (1 / change_feed.NO_SUBSCRIBER_PAUSE_S)


@pytest.mark.parametrize("answer", [b"", b"-READONLY no\r\n", b"nonsense\r\n"])
def test_a_redis_that_does_not_take_it_is_left_alone(make: Callable[[bytes], tuple[Redis, ChangeFeed]], answer: bytes) -> None:
    _, feed = make(answer)
    began = time.monotonic()
    for _ in range(100):
        feed.publish(IDS)
    assert feed.paused
    assert time.monotonic() - began < 2


def test_a_redis_that_is_not_there_is_left_alone() -> None:
    feed = ChangeFeed(Settings(redis_url="redis://127.0.0.1:1/0"))
    feed.publish(IDS)
    assert feed.paused


@pytest.mark.parametrize("message", [{"type": "pong", "data": b""}, {"type": "subscribe", "data": 1}, {"type": "message", "data": "text"}, {}])
def test_what_is_no_message_tells_nothing(message: dict[str, object]) -> None:
    assert ids_of_message(message) == []


def test_a_message_tells_ids() -> None:
    assert ids_of_message({"type": "message", "data": b"one,two"}) == IDS
    assert ids_of_message({"type": "message", "data": b"\xff"}) != []

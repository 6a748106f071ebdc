"""Who tells which jobs have changed: nothing while nobody listens or Redis is away, and never an exception."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from common.broker import change_feed
from common.broker.change_feed import CHANGED, Crier, changed
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
def make() -> Iterator[Callable[[bytes], tuple[Redis, Crier]]]:
    """Make a server that answers so, and one who tells."""
    made: list[tuple[Redis, Crier]] = []

    def both(answer: bytes) -> tuple[Redis, Crier]:
        redis = Redis(answer)
        made.append((redis, Crier(Settings(redis_url=f"redis://127.0.0.1:{redis.port}/0?protocol=2"))))
        return made[-1]

    yield both
    for one, crier in made:
        crier._redis.close()
        one.close()


def test_while_somebody_listens_every_batch_is_one_message(make: Callable[[bytes], tuple[Redis, Crier]]) -> None:
    redis, crier = make(b":1\r\n")
    for _ in range(3):
        crier.tell(IDS)
    assert not crier.quiet
    assert len(redis.published) == 3
    assert all(CHANGED.encode() in one and b"one,two" in one for one in redis.published)


def test_while_nobody_listens_it_is_said_once_in_a_while(make: Callable[[bytes], tuple[Redis, Crier]]) -> None:
    redis, crier = make(b":0\r\n")
    crier.tell([])
    assert not crier.quiet
    for _ in range(1_000):
        crier.tell(IDS)
    assert crier.quiet
    assert len(redis.published) <= 1 + (1 / change_feed.NOBODY_S)


@pytest.mark.parametrize("answer", [b"", b"-READONLY no\r\n", b"nonsense\r\n"])
def test_a_redis_that_does_not_take_it_is_left_alone(make: Callable[[bytes], tuple[Redis, Crier]], answer: bytes) -> None:
    _, crier = make(answer)
    began = time.monotonic()
    for _ in range(100):
        crier.tell(IDS)
    assert crier.quiet
    assert time.monotonic() - began < 2


def test_a_redis_that_is_not_there_is_left_alone() -> None:
    crier = Crier(Settings(redis_url="redis://127.0.0.1:1/0"))
    crier.tell(IDS)
    assert crier.quiet


@pytest.mark.parametrize("message", [{"type": "pong", "data": b""}, {"type": "subscribe", "data": 1}, {"type": "message", "data": "text"}, {}])
def test_what_is_no_message_tells_nothing(message: dict[str, object]) -> None:
    assert changed(message) == []


def test_a_message_tells_ids() -> None:
    assert changed({"type": "message", "data": b"one,two"}) == IDS
    assert changed({"type": "message", "data": b"\xff"}) != []

"""Clients that a plain load has none of, in a process of their own.

`python -m tests.benchmarks.slow_clients back PORT CLIENTS SECONDS FILE`: a closed loop whose clients try again after a 503, and keep what they were told:
`FILE` gets each answer (when, after how many seconds, status) and the ids of the accepted jobs.
`python -m tests.benchmarks.slow_clients slow PORT CLIENTS SECONDS KIND PACE_S [PATH]`: clients that send or read a byte each so many seconds, each again as
soon as it is ended; prints how long they were borne.
"""

import asyncio
import json
import random
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests.benchmarks.load import HEAD, Connection, Load, drive

AFTER_503_S = 0.2  # before a client that was refused tries again, plus as much by chance: far sooner than Retry-After asks for
LEAST_BUFFER = 4_096  # bytes that the kernel keeps for one who reads slowly
ANSWER_BYTES = 65_536


@dataclass
class Crowd(Load):
    """Clients that try again, and what they were told."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)  #: when, after how many seconds, with which status
    accepted: list[str] = field(default_factory=list)  #: ids

    def client(self) -> Connection:
        """Return one that tries again."""
        return Returning(self)


class Returning(Connection):
    """Tries again after a 503."""

    load: Crowd

    def _answered(self, head: bytes, body: bytes) -> None:
        status = int(head[9:12])
        self.load.answers.append((time.time(), time.perf_counter() - self.due, status))
        if status == 202:
            self.load.accepted.append(json.loads(body)["job_id"])
        if status == 503:
            asyncio.get_running_loop().call_later(AFTER_503_S * (1 + random.random()), self._next)
        else:
            self._next()

    def _next(self) -> None:
        if self.transport.is_closing():  # lost while it paused: another one has taken its place
            return
        super()._next()


async def back(port: int, clients: int, seconds: float) -> dict[str, object]:
    """Send until the time is up; returns what was told."""
    began = time.perf_counter()
    crowd = Crowd(port, began, began + seconds)
    await drive(crowd, clients)
    return {"answers": crowd.answers, "accepted": crowd.accepted, "broken": crowd.broken, "unanswered": crowd.open}


@dataclass
class Slow:
    """A slow client's way of asking."""

    port: int
    pace_s: float
    path: str
    until: float
    borne: list[float] = field(default_factory=list)  #: seconds until each was ended
    answers: dict[str, int] = field(default_factory=dict)  #: first lines of what they were told as they were ended
    still: int = 0  #: who were borne to the end
    met: int = 0
    all_met: asyncio.Event = field(default_factory=asyncio.Event)

    async def again(self, ask: "Ask", clients: int) -> None:
        """Be slow, over and over until the time is up."""
        while (began := time.perf_counter()) < self.until:
            with socket.socket() as one:
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LEAST_BUFFER)
                try:
                    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.port))
                    self.met += 1
                    if self.met == clients:
                        self.all_met.set()
                    async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.until - time.perf_counter()):
                        answer = await ask(self, one)
                except TimeoutError:
                    self.still += 1
                    return
                except OSError as error:
                    answer = type(error).__name__
            self.borne.append(time.perf_counter() - began)
            self.answers[answer] = self.answers.get(answer, 0) + 1


Ask = Callable[[Slow, socket.socket], Awaitable[str]]


async def heads(slow: Slow, one: socket.socket) -> str:
    """Never come to the end of the head."""
    return await _drip(slow, one, b"POST /jobs/ HTTP/1.1\r\nHost: bench\r\nX-Slow: ")


async def bodies(slow: Slow, one: socket.socket) -> str:
    """Announce a body and send it a byte at a time."""
    return await _drip(slow, one, HEAD % (b"/jobs/", 100_000))


async def silent(_slow: Slow, one: socket.socket) -> str:
    """Connect and say nothing."""
    return await _told(one)


async def readers(slow: Slow, one: socket.socket) -> str:
    """Ask for a large answer and read it a byte at a time."""
    await asyncio.get_running_loop().sock_sendall(one, b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % slow.path.encode())
    first = b""
    while byte := await asyncio.get_running_loop().sock_recv(one, 1):
        first = (first + byte)[:12]
        await asyncio.sleep(slow.pace_s)
    return first.decode()


async def _drip(slow: Slow, one: socket.socket, head: bytes) -> str:
    """Send a head at once, then a byte at a time, until an answer comes."""

    async def drip() -> None:
        await asyncio.get_running_loop().sock_sendall(one, head)
        with suppress(OSError):  # the answer tells
            while True:
                await asyncio.sleep(slow.pace_s)
                await asyncio.get_running_loop().sock_sendall(one, b"1")

    dripping = asyncio.create_task(drip())
    try:
        return await _told(one)
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def _told(one: socket.socket) -> str:
    return (await asyncio.get_running_loop().sock_recv(one, ANSWER_BYTES))[:12].decode() or "closed"


KINDS: dict[str, Ask] = {"silent": silent, "heads": heads, "bodies": bodies, "readers": readers}


async def slowly(port: int, clients: int, seconds: float, kind: str, pace_s: float, path: str) -> None:
    """Be so many slow clients; print a line once all are connected, and what became of them in the end."""
    slow = Slow(port, pace_s, path, time.perf_counter() + seconds)
    tasks = [asyncio.create_task(slow.again(KINDS[kind], clients)) for _ in range(clients)]
    await asyncio.wait([*tasks, met := asyncio.create_task(slow.all_met.wait())], return_when=asyncio.FIRST_COMPLETED)
    print("connected", flush=True)
    await asyncio.gather(*tasks)
    met.cancel()
    borne = slow.borne or [seconds]
    print(json.dumps({"median_s": statistics.median(borne), "longest_s": max(borne), "ended": len(slow.borne), "still": slow.still, "told": slow.answers}))


def main() -> None:
    """Be the crowd that the arguments say."""
    kind, port, clients, seconds, *others = sys.argv[1:]
    if kind == "back":
        Path(others[0]).write_text(json.dumps(uvloop.run(back(int(port), int(clients), float(seconds)))))
    else:
        path = others[2] if others[2:] else "/"
        uvloop.run(slowly(int(port), int(clients), float(seconds), others[0], float(others[1]), path))


if __name__ == "__main__":
    main()

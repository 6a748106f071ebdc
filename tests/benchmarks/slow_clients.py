"""Clients that retry, and clients that are slow, in a process of their own.

`python -m tests.benchmarks.slow_clients back PORT CLIENTS SECONDS FILE`: a closed loop of clients that retry after a
503. `FILE` gets each answer (time, latency in seconds, status) and the ids of the accepted jobs.

`python -m tests.benchmarks.slow_clients slow PORT CLIENTS SECONDS KIND PACE_S [PATH]`: clients that send or read a byte
every PACE_S seconds, and reconnect when the server closes them; prints how long each connection lasted.
"""

import asyncio
import json
import random
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from common.command_line import command_line
from tests.benchmarks.load import HEAD, Connection, Load, drive

AFTER_503_S = (
    0.2  # before a refused client tries again, plus up to as much at random: far sooner than Retry-After asks for
)
LEAST_BUFFER = 4_096  # bytes that the kernel buffers for a slow reader
ANSWER_BYTES = 65_536


@dataclass
class RetryingLoad(Load):
    """Clients that retry, and the answers that they got."""

    answers: list[tuple[float, float, int]] = field(default_factory=list)  #: time, latency in seconds, status
    accepted: list[str] = field(default_factory=list)  #: ids

    def client(self) -> Connection:
        """Return a client that retries."""
        return Returning(self)


class Returning(Connection):
    """A client that retries after a 503."""

    load: RetryingLoad

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
        if self.transport.is_closing():  # lost during the pause and replaced
            return
        super()._next()


async def back(port: int, clients: int, seconds: float) -> dict[str, object]:
    """Send until the end of the load; return the answers."""
    began = time.perf_counter()
    retrying_load = RetryingLoad(port, began, began + seconds)
    await drive(retrying_load, clients)
    return {
        "answers": retrying_load.answers,
        "accepted": retrying_load.accepted,
        "broken": retrying_load.broken,
        "unanswered": retrying_load.open,
    }


@dataclass
class Slow:
    """A kind of slow client."""

    port: int
    pace_s: float
    path: str
    until: float
    borne: list[float] = field(default_factory=list)  #: seconds until the server closed each
    answers: dict[str, int] = field(default_factory=dict)  #: status lines of the answers to closed clients
    still: int = 0  #: clients that were never closed
    met: int = 0
    all_met: asyncio.Event = field(default_factory=asyncio.Event)

    async def again(self, ask: "Ask", clients: int) -> None:
        """Run slow clients one after the other until the end of the load."""
        while (began := time.perf_counter()) < self.until:
            with socket.socket() as client:
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LEAST_BUFFER)
                try:
                    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
                    self.met += 1
                    if self.met == clients:
                        self.all_met.set()
                    async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.until - time.perf_counter()):
                        answer = await ask(self, client)
                except TimeoutError:
                    self.still += 1
                    return
                except OSError as error:
                    answer = type(error).__name__
            self.borne.append(time.perf_counter() - began)
            self.answers[answer] = self.answers.get(answer, 0) + 1


Ask = Callable[[Slow, socket.socket], Awaitable[str]]


async def heads(slow: Slow, client: socket.socket) -> str:
    """Send a header that never ends."""
    return await _drip(slow, client, b"POST /jobs/ HTTP/1.1\r\nHost: bench\r\nX-Slow: ")


async def bodies(slow: Slow, client: socket.socket) -> str:
    """Send a body a byte at a time."""
    return await _drip(slow, client, HEAD % (b"/jobs/", 100_000))


async def silent(_slow: Slow, client: socket.socket) -> str:
    """Connect and send nothing."""
    return await _status_line(client)


async def readers(slow: Slow, client: socket.socket) -> str:
    """Request a large answer and read it a byte at a time."""
    await asyncio.get_running_loop().sock_sendall(
        client, b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % slow.path.encode()
    )
    first = b""
    while byte := await asyncio.get_running_loop().sock_recv(client, 1):
        first = (first + byte)[:12]
        await asyncio.sleep(slow.pace_s)
    return first.decode()


async def _drip(slow: Slow, client: socket.socket, head: bytes) -> str:
    """Send a header at once, then a byte at a time until an answer comes."""

    async def drip() -> None:
        await asyncio.get_running_loop().sock_sendall(client, head)
        with suppress(OSError):  # the answer says why
            while True:
                await asyncio.sleep(slow.pace_s)
                await asyncio.get_running_loop().sock_sendall(client, b"1")

    dripping = asyncio.create_task(drip())
    try:
        return await _status_line(client)
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def _status_line(client: socket.socket) -> str:
    return (await asyncio.get_running_loop().sock_recv(client, ANSWER_BYTES))[:12].decode() or "closed"


KINDS: dict[str, Ask] = {"silent": silent, "heads": heads, "bodies": bodies, "readers": readers}


async def slowly(port: int, clients: int, seconds: float, kind: str, pace_s: float, path: str) -> None:
    """Run `count` slow clients; print a line once all are connected, and their results at the end."""
    slow = Slow(port, pace_s, path, time.perf_counter() + seconds)
    tasks = [asyncio.create_task(slow.again(KINDS[kind], clients)) for _ in range(clients)]
    await asyncio.wait([*tasks, met := asyncio.create_task(slow.all_met.wait())], return_when=asyncio.FIRST_COMPLETED)
    print("connected", flush=True)
    await asyncio.gather(*tasks)
    met.cancel()
    borne = slow.borne or [seconds]
    print(
        json.dumps(
            {
                "median_s": statistics.median(borne),
                "longest_s": max(borne),
                "ended": len(slow.borne),
                "still": slow.still,
                "answers": slow.answers,
            }
        )
    )


def main() -> None:
    """Run the slow clients that the arguments describe."""
    parser = command_line("tests.benchmarks.slow_clients", __doc__)
    ways = parser.add_subparsers(dest="way", required=True)
    back_again, slow = ways.add_parser("back"), ways.add_parser("slow")
    for way in (back_again, slow):
        way.add_argument("port", type=int)
        way.add_argument("clients", type=int)
        way.add_argument("seconds", type=float)
    back_again.add_argument("file", type=Path)
    slow.add_argument("kind", choices=KINDS)
    slow.add_argument("pace_s", type=float)
    slow.add_argument("path", nargs="?", default="/")
    asked = parser.parse_args()
    if asked.way == "back":
        asked.file.write_text(json.dumps(uvloop.run(back(asked.port, asked.clients, asked.seconds))))
    else:
        uvloop.run(slowly(asked.port, asked.clients, asked.seconds, asked.kind, asked.pace_s, asked.path))


if __name__ == "__main__":
    main()

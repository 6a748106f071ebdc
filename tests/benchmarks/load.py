"""A load generator of one process: raw HTTP/1.1 over keep-alive connections, with the latency of every request.

`python -m tests.benchmarks.load PORT CONNECTIONS SECONDS [RATE [PATH FILE]]` prints JSON. PATH and FILE: the URL path
and the file of a body other than the plain job. Without RATE, or with 0, a closed loop: each connection sends its next
request when the last one is answered. With RATE, in requests a second, an open loop: requests are due at fixed times
and a latency counts from then, so that a stall shows in every request behind it; figures are also given by second. The
generator's own CPU time is part of the figures: on two cores it competes with the system.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from common.command_line import command_line
from tests.benchmarks.measure import API_KEY, authorization

BODY = b'{"data":[1,2,3],"operation":"square_sum"}'
HEAD = b"POST %b HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
LIMIT_S = 15.0  # a request without an answer after this counts as lost
RECONNECT_S = 0.2  # pause before a lost connection is replaced


def request(path: str, body: bytes) -> bytes:
    """Return the bytes of a POST request."""
    key = "".join(f"{name}: {value}\r\n" for name, value in authorization(os.environ.get(API_KEY)).items())
    return HEAD % (path.encode(), len(body), key.encode()) + body


PLAIN = request("/jobs/", BODY)


@dataclass
class Load:
    """The answers of a load."""

    port: int
    began: float
    until: float
    rate: float = 0.0  #: requests a second; 0: as fast as possible
    request: bytes = PLAIN
    latencies: list[tuple[float, float]] = field(
        default_factory=list
    )  #: when a request was due, and the latency of its answer
    refused: int = 0
    unavailable: int = 0  #: of these, with 503
    broken: int = 0  #: requests that lost their connection
    open: int = 0
    sent: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def client(self) -> "Connection":
        """Return the client of a new connection."""
        return Connection(self)

    def due(self) -> float:
        """Return when the next request is due."""
        self.sent += 1
        return self.began + (self.sent - 1) / self.rate if self.rate else time.perf_counter()

    async def connect(self) -> None:
        """Open a connection; retry until the load ends."""
        self.open += 1
        while time.perf_counter() < self.until:
            try:
                await asyncio.get_running_loop().create_connection(self.client, "127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(RECONNECT_S)
            else:
                return
        self.left()

    def again(self) -> None:
        """Replace a lost connection."""
        self.open -= 1
        task = asyncio.get_running_loop().create_task(self.connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def left(self) -> None:
        """Note that a connection has ended for good."""
        self.open -= 1
        if not self.open:
            self.over.set()


class Connection(asyncio.Protocol):
    """One connection. Sends the next request once the last one is answered and the next is due."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.waits = False
        self.done = False
        self.got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a TCP transport is one
        self._next()

    def _next(self) -> None:
        self.due = self.load.due()
        if self.due >= self.load.until:
            self.done = True
            self.transport.close()
            return
        wait_s = self.due - time.perf_counter()
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if self.transport.is_closing():  # lost while it waited for its due time
            self.load.broken += 1
            return
        self.waits = True
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self.got, self.waits = b"", False
        self._answered(head, body)

    def _answered(self, head: bytes, body: bytes) -> None:  # noqa: ARG002 - subclasses use the arguments
        self.load.latencies.append((self.due, time.perf_counter() - self.due))
        self.load.refused += not head.startswith(b"HTTP/1.1 202")
        self.load.unavailable += head.startswith(b"HTTP/1.1 503")
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        if self.done:
            self.load.left()
        else:
            self.load.broken += self.waits
            self.load.again()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


async def drive(load: Load, connections: int) -> None:
    """Open the connections and wait until the load ends."""
    for _ in range(connections):
        await load.connect()
    with suppress(TimeoutError):
        await asyncio.wait_for(load.over.wait(), load.until - load.began + LIMIT_S)


async def run(port: int, connections: int, seconds: float, rate: float = 0.0, sent: bytes = PLAIN) -> dict[str, object]:
    """Run a load against a port and return its figures."""
    began, began_at, cpu = time.perf_counter(), time.time(), time.process_time()
    load = Load(port, began, began + seconds, rate, sent)
    await drive(load, connections)
    took = max(seconds, time.perf_counter() - began)
    by_second: list[list[float]] = [[] for _ in range(int(seconds) + 1)]
    for due, latency in load.latencies:
        by_second[min(int(seconds), int(due - began))].append(latency)
    return {
        "accepted": len(load.latencies) - load.refused,
        "refused": load.refused,
        "unavailable": load.unavailable,
        "unanswered": load.open + load.broken,
        "post_s": (len(load.latencies) - load.refused) / took,
        **_percentiles([latency for _, latency in load.latencies]),
        "generator_cpu": (time.process_time() - cpu) / took,
        **(
            {
                "began_at": began_at,
                "by_second": [{"answered": len(second), **_percentiles(second)} for second in by_second],
            }
            if rate
            else {}
        ),
    }


def _percentiles(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies) or [float("inf")]
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }


def main() -> None:
    """Run the load that the arguments describe."""
    parser = command_line("tests.benchmarks.load", __doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float, nargs="?", default=0.0, help="requests a second; 0: a closed loop")
    parser.add_argument("path", nargs="?", help="URL path")
    parser.add_argument("file", nargs="?", type=Path, help="file with the body")
    asked = parser.parse_args()
    sent = request(asked.path, asked.file.read_bytes()) if asked.file else PLAIN
    print(json.dumps(uvloop.run(run(asked.port, asked.connections, asked.seconds, asked.rate, sent))))


if __name__ == "__main__":
    main()

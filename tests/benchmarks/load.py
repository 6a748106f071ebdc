"""A load generator of one process: raw HTTP/1.1 over kept connections, closed loop, latencies of every request.

`python -m tests.benchmarks.load PORT CONNECTIONS SECONDS` prints JSON. Its own CPU share is in it: on two cores it is a competitor.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

import uvloop

BODY = b'{"data":[1,2,3],"operation":"square_sum"}'
REQUEST = b"POST /jobs/ HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
LIMIT_S = 15.0  # a request without an answer for this long counts as lost


@dataclass
class Load:
    """What came back."""

    until: float
    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    open: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Connection(asyncio.Protocol):
    """One connection: the next request when the last one has been answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.began = 0.0
        self.got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # a TCP transport is one
        self.load.open += 1
        self._next()

    def _next(self) -> None:
        self.began = time.perf_counter()
        if self.began >= self.load.until:
            self.transport.close()
            return
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self.got = b""
        self.load.latencies.append(time.perf_counter() - self.began)
        self.load.refused += not head.startswith(b"HTTP/1.1 202")
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        self.load.open -= 1
        if not self.load.open:
            self.load.over.set()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)


async def run(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Load the port and return the figures."""
    began = time.perf_counter()
    cpu = time.process_time()
    load = Load(began + seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", port)
    with suppress(TimeoutError):
        await asyncio.wait_for(load.over.wait(), seconds + LIMIT_S)
    took = max(seconds, time.perf_counter() - began)
    ordered = sorted(load.latencies)
    return {
        "accepted": len(ordered) - load.refused,
        "refused": load.refused,
        "unanswered": load.open,
        "post_s": (len(ordered) - load.refused) / took,
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "max_ms": ordered[-1] * 1e3,
        "generator_cpu": (time.process_time() - cpu) / took,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))

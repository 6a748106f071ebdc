"""The cost of clients that follow lists: `make bench BENCH="--only followers"`. Exits with 1 past a bound.

Jobs are submitted at a fixed rate and run, in rounds without and with clients of GET /jobs/events. Those of the first
kind follow one list from one moment on, those of the second join while jobs come, so that their pages differ. The CPU
time is that of the API process beyond a round without clients; latencies are those of the submissions.
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.command_line import command_line
from tests.benchmarks.disturbances import Scene
from tests.benchmarks.measure import cpu_s, wait_until
from tests.benchmarks.setting import Figure, Stage, table
from tests.benchmarks.throughput import POSTGRES, load
from tools.servers import Postgres, Redis

CONNECTIONS = 8
MAX_CPU_PERCENT = 2.0  # of a core, for all clients together
MAX_P99_RATIO = 1.5  # of the submissions, to a round without clients: the figures of two such rounds differ as much
REQUEST = b"GET /jobs/events?limit=50 HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line("tests.benchmarks.run --only followers", __doc__)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--clients", type=int, default=100, help="that follow the list")
    parser.add_argument("--rate", type=float, default=100, help="jobs a second that are submitted")
    parser.add_argument("--seconds", type=float, default=15, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind, in turns")
    return parser.parse_args(arguments)


@dataclass
class Followers:
    """Clients of a list, in a thread."""

    port: int
    count: int
    interval_s: float  #: between the starts of two clients
    received: int = 0  #: bytes
    pages: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Follow during the block, from which on every client has its page."""
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        tasks = [asyncio.run_coroutine_threadsafe(self._one(n), self._loop) for n in range(self.count)]
        try:
            wait_until("each client has its page", lambda: self.pages == self.count, 60 + self.count * self.interval_s)
            yield
        finally:
            for task in tasks:
                task.cancel()
            time.sleep(0.1)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    async def _one(self, number: int) -> None:
        await asyncio.sleep(number * self.interval_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(REQUEST)
        has_page = False
        try:
            while part := await reader.read(1 << 16):
                self.received += len(part)
                if not has_page and b"event: page" in part:
                    has_page = True
                    self.pages += 1
            raise RuntimeError("a stream has ended")
        finally:
            writer.close()


def _round(there: Scene, options: argparse.Namespace, followers: Followers | None = None) -> tuple[float, float]:
    """Return the percent of a core that the API used, and the p99 of the submissions in milliseconds."""

    def measured() -> tuple[float, float]:
        """Measure while jobs are submitted."""
        process = there.system.processes["api0"]
        before_s, began = cpu_s(process), time.monotonic()
        p99 = load(there.port, CONNECTIONS, options.seconds, options.rate)["p99_ms"]
        return (cpu_s(process) - before_s) / (time.monotonic() - began) * 100, float(p99)

    if followers is None:
        return measured()
    with followers.follow():
        found = measured()
        received = followers.received
    print(f"{followers.pages} pages, {received / 1e6:.1f} MB received")
    return found


def measure(there: Scene, options: argparse.Namespace) -> dict[str, list[Figure]]:
    """Measure rounds in turns."""
    _round(there, options)  # warms up
    none, together, apart = [], [], []
    for _ in range(options.rounds):
        none.append(_round(there, options))
        together.append(_round(there, options, Followers(there.port, options.clients, 0.0)))
        interval_s = options.seconds / options.clients
        background = threading.Thread(target=load, args=(there.port, 1, options.seconds, options.rate))
        background.start()  # so that clients that join one after the other get different pages
        apart.append(_round(there, options, Followers(there.port, options.clients, interval_s)))
        background.join()
    cpu, p99 = _medians(none)
    found = {"no clients": [Figure("CPU of the API, percent of a core", cpu), Figure("POST p99 in ms", p99)]}
    for name, rounds in (("one page", together), ("pages of different moments", apart)):
        its_cpu, its_p99 = _medians(rounds)
        found[f"{options.clients} clients, {name}"] = [
            Figure("CPU beyond that, percent of a core", its_cpu - cpu, at_most=MAX_CPU_PERCENT),
            Figure("POST p99 in ms", its_p99),
            Figure("… to that without clients", its_p99 / p99, at_most=MAX_P99_RATIO),
        ]
    return found


def _medians(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    cpu, p99 = zip(*rounds, strict=True)
    return statistics.median(cpu), statistics.median(p99)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and return the exit code. `arguments`: None reads the command line."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="jobproc-followers-"))
    folder.chmod(0o755)
    postgres = Postgres(folder / "postgres", folder / "postgres.log", options=POSTGRES)
    redis = Redis(folder / "redis", folder / "redis.log")
    try:
        postgres.start()
        redis.start()
        with Stage((postgres, redis), folder, options).scene() as there:
            found = measure(there, options)
    finally:
        redis.stop()
        postgres.stop()
    print(table(found))
    return 0 if all(figure.holds for figures in found.values() for figure in figures) else 1

"""The load of a soak: calls at fixed times, whether or not the ones before have been answered. A process of its own.

`python -m soak.load URL SECONDS WINDOW_S RATE FOLDER` writes `load.jsonl`, a line for each window, and `accepted.jsonl`, a sample of the
accepted jobs with what was sent. A latency counts from the time that the call was due, so a stall is seen by every call behind it.
"""

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from faults.clients import body
from faults.history import Sent

from soak.connections import ERRORS, Connections

ANSWER_S = 20.0  # longest that a client waits: longer than the API's own limits
MOST_OPEN = 200  # calls without an answer, and connections; further ones are not made and counted as failed
BATCH = 40
KEPT = 0.05  # share of the accepted jobs whose results are checked
PATHS = ("/jobs/{}", "/jobs/{}/status", "/jobs/{}/result", "/stats")


def job(chance: random.Random) -> Sent:
    """Make a job; one in thirty fails at first, one in a hundred for good."""
    tag, kind = float(chance.randrange(10**6)), chance.random()
    if kind < 0.03:
        return Sent("stumble", (float(chance.randint(1, 2)), tag))
    if kind < 0.04:
        return Sent("fail_for_good", (1.0, tag))
    if kind < 0.10:
        return Sent("sleep", (0.002,))
    return Sent("square_sum", tuple(float(chance.randrange(1000)) for _ in range(chance.choice([3, 3, 3, 100]))))


def quantile(ordered: list[float], share: float) -> float:
    """Return the value that this share of ordered values is not above."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Load:
    """Streams of calls at fixed rates."""

    def __init__(self, url: str, seconds: float, window_s: float, rate: float, folder: Path) -> None:
        """`rate`: times the calls a second of STREAMS."""
        self._seconds, self._window_s, self._rate = seconds, window_s, rate
        self._chance = random.Random("soak")
        self._http = Connections(url, ANSWER_S)
        self._ids: deque[str] = deque(maxlen=500)
        self._took_ms: dict[str, list[float]] = {}
        self._counts: Counter[str] = Counter()
        self._open = 0
        self._windows = (folder / "load.jsonl").open("w", buffering=1)
        self._kept = (folder / "accepted.jsonl").open("w", buffering=1)

    async def run(self) -> None:
        """Call until the time is up and every call has been answered."""
        tasks = [asyncio.create_task(self._stream(name)) for name in STREAMS]
        tasks.append(asyncio.create_task(self._tell()))
        await asyncio.gather(*tasks)
        while self._open:  # noqa: ASYNC110 - once a run, bounded by the clients' limit
            await asyncio.sleep(0.05)
        self._write()
        await self._http.close()

    async def _stream(self, name: str) -> None:
        usual, call = STREAMS[name]
        rate, began, calls = usual * self._rate, time.monotonic(), set()
        for number in range(math.ceil(rate * self._seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._open >= MOST_OPEN:
                self._counts.update(("failed", "not made"))
                continue
            calls.add(task := asyncio.create_task(self._timed(name, call, due)))
            task.add_done_callback(calls.discard)

    async def _timed(self, name: str, call: "Call", due: float) -> None:
        self._open += 1
        try:
            good = await call(self)
        except ERRORS:
            self._counts["unknown" if STREAMS[name][1] is not read else "unread"] += 1
            good = False
        finally:
            self._open -= 1
        self._counts["good" if good else "failed"] += 1
        self._took_ms.setdefault(name, []).append((time.monotonic() - due) * 1e3)

    async def send(self, path: str, *jobs: Sent) -> bool:
        """Submit jobs, one or in a batch; remember some of what was accepted."""
        sent: Any = [body(one) for one in jobs] if path.endswith("batch") else body(jobs[0])
        status, found = await self._http.call("POST", path, sent)
        if status != 202:
            self._counts["refused"] += 1
            return False
        ids = found.get("job_ids") or [found["job_id"]]
        self._counts["accepted"] += len(ids)
        for job_id, one in zip(ids, jobs, strict=True):
            if self._chance.random() < KEPT or one.operation.endswith("_once"):
                self._ids.append(job_id)
                self._kept.write(json.dumps({"id": job_id, "operation": one.operation, "data": one.data}) + "\n")
        return True

    def job(self) -> Sent:
        """Make the next job."""
        return job(self._chance)

    async def look(self) -> bool:
        """Read a job, or how the queues are; now and then send what must be refused."""
        if self._chance.random() < 0.05:
            status, _ = await self._http.call("POST", "/jobs/", {"operation": "no_such_operation", "data": [1]})
            return status == 422
        path = self._chance.choice(PATHS if self._ids else PATHS[-1:])
        status, _ = await self._http.call("GET", path.format(self._chance.choice(self._ids) if self._ids else ""))
        return status == 200

    def mortal(self) -> Sent:
        """Make a job that ends its process."""
        return Sent(self._chance.choice(["fall_once", "fall_once", "overstay_once"]), (float(self._chance.randrange(10**6)),))

    async def _tell(self) -> None:
        began = time.monotonic()
        for number in range(1, int(self._seconds / self._window_s) + 1):
            await asyncio.sleep(max(0.0, began + number * self._window_s - time.monotonic()))
            self._write()

    def _write(self) -> None:
        took = {name: sorted(values) for name, values in self._took_ms.items()}
        self._took_ms = {}
        line = {
            "at_s": time.monotonic(),
            "open": self._open,
            "counts": dict(self._counts),  # since the start
            "ms": {name: {"calls": len(v), "p50": quantile(v, 0.5), "p99": quantile(v, 0.99), "max": v[-1]} for name, v in took.items()},
        }
        self._windows.write(json.dumps(line) + "\n")


async def submit(load: Load) -> bool:
    """Submit a job."""
    return await load.send("/jobs/", load.job())


async def batch(load: Load) -> bool:
    """Submit a batch."""
    return await load.send("/jobs/batch", *[load.job() for _ in range(BATCH)])


async def read(load: Load) -> bool:
    """Read."""
    return await load.look()


async def end_process(load: Load) -> bool:
    """Submit a job that ends its process."""
    return await load.send("/jobs/", load.mortal())


Call = Callable[[Load], Awaitable[bool]]
#: By name: calls a second, and the call. 200 jobs a second together.
STREAMS: dict[str, tuple[float, Call]] = {"submit": (20, submit), "batch": (4.5, batch), "read": (10, read), "end": (0.2, end_process)}


if __name__ == "__main__":
    uvloop.run(Load(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5])).run())

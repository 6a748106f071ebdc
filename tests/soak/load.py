"""The load of a soak test: calls at fixed times, whether or not earlier ones were answered. A separate process.

`python -m soak.load URL SECONDS WINDOW_S RATE FOLDER` writes `load.jsonl`, one line a window, and `accepted.jsonl`,
a sample of the accepted jobs as they were sent. A latency counts from the time that the call was due, so every call
behind a stall shows it.
"""

import asyncio
import json
import math
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop
from faults.jobs import SentJob, request_body

from common.command_line import command_line
from soak.connections import ERRORS, Connections

CLIENT_TIMEOUT_S = 20.0  # longer than the API's own limits
MAX_OPEN_CALLS = 200  # and connections; further calls are not made and counted as failed
BATCH = 40
CHECKED_SHARE = 0.05  # share of the accepted jobs whose results are checked
PATHS = ("/jobs/{}", "/jobs/{}/status", "/jobs/{}/result", "/stats")


def new_job(chance: random.Random) -> SentJob:
    """Make a job; one in thirty fails at first, one in a hundred fails for good."""
    tag, kind = float(chance.randrange(10**6)), chance.random()
    if kind < 0.03:
        return SentJob("stumble", (float(chance.randint(1, 2)), tag))
    if kind < 0.04:
        return SentJob("fail_for_good", (1.0, tag))
    if kind < 0.10:
        return SentJob("sleep", (0.002,))
    return SentJob("square_sum", tuple(float(chance.randrange(1000)) for _ in range(chance.choice([3, 3, 3, 100]))))


def quantile(ordered: list[float], share: float) -> float:
    """Return the value of an ordered list that at least this share of the values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Load:
    """Streams of calls at fixed rates."""

    def __init__(self, url: str, seconds: float, window_s: float, rate: float, folder: Path) -> None:
        """`rate` multiplies the rates of STREAMS."""
        self._seconds, self._window_s, self._rate = seconds, window_s, rate
        self._chance = random.Random("soak")
        self._http = Connections(url, CLIENT_TIMEOUT_S)
        self._ids: deque[str] = deque(maxlen=500)
        self._took_ms: dict[str, list[float]] = {}
        self._counts: Counter[str] = Counter()
        self._open = 0
        self._windows = (folder / "load.jsonl").open("w", buffering=1)
        self._accepted = (folder / "accepted.jsonl").open("w", buffering=1)

    async def run(self) -> None:
        """Call until the time is up and every call has been answered."""
        tasks = [asyncio.create_task(self._stream(name)) for name in STREAMS]
        tasks.append(asyncio.create_task(self._write_windows()))
        await asyncio.gather(*tasks)
        while self._open:  # noqa: ASYNC110 - once a run, bounded by the clients' limit
            await asyncio.sleep(0.05)
        self._write_window()
        await self._http.close()

    async def _stream(self, name: str) -> None:
        usual_rate, call = STREAMS[name]
        rate, began, calls = usual_rate * self._rate, time.monotonic(), set()
        for number in range(math.ceil(rate * self._seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._open >= MAX_OPEN_CALLS:
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

    async def send(self, path: str, *jobs: SentJob) -> bool:
        """Submit a job, or a batch of jobs, and record some of those that were accepted. Return True if they were."""
        body: Any = [request_body(job) for job in jobs] if path.endswith("batch") else request_body(jobs[0])
        status, response = await self._http.call("POST", path, body)
        if status != 202:
            self._counts["refused"] += 1
            return False
        job_ids = response.get("job_ids") or [response["job_id"]]
        self._counts["accepted"] += len(job_ids)
        for job_id, job in zip(job_ids, jobs, strict=True):
            if self._chance.random() < CHECKED_SHARE or job.operation.endswith("_once"):
                self._ids.append(job_id)
                self._accepted.write(json.dumps({"id": job_id, "operation": job.operation, "data": job.data}) + "\n")
        return True

    def new_job(self) -> SentJob:
        """Make the next job."""
        return new_job(self._chance)

    async def read(self) -> bool:
        """Read a job or the queue statistics, or send an invalid job. Return True if the status is right."""
        if self._chance.random() < 0.05:
            status, _ = await self._http.call("POST", "/jobs/", {"operation": "no_such_operation", "data": [1]})
            return status == 422
        path = self._chance.choice(PATHS if self._ids else PATHS[-1:])
        status, _ = await self._http.call("GET", path.format(self._chance.choice(self._ids) if self._ids else ""))
        return status == 200

    def new_crashing_job(self) -> SentJob:
        """Make a job that ends its process."""
        return SentJob(
            self._chance.choice(["fall_once", "fall_once", "overstay_once"]), (float(self._chance.randrange(10**6)),)
        )

    async def _write_windows(self) -> None:
        began = time.monotonic()
        for number in range(1, int(self._seconds / self._window_s) + 1):
            await asyncio.sleep(max(0.0, began + number * self._window_s - time.monotonic()))
            self._write_window()

    def _write_window(self) -> None:
        took_ms = {name: sorted(values) for name, values in self._took_ms.items()}
        self._took_ms = {}
        line = {
            "at_s": time.monotonic(),
            "open": self._open,
            "counts": dict(self._counts),  # since the start
            "ms": {
                name: {
                    "calls": len(values),
                    "p50": quantile(values, 0.5),
                    "p99": quantile(values, 0.99),
                    "max": values[-1],
                }
                for name, values in took_ms.items()
            },
        }
        self._windows.write(json.dumps(line) + "\n")


async def submit(load: Load) -> bool:
    """Submit a job."""
    return await load.send("/jobs/", load.new_job())


async def submit_batch(load: Load) -> bool:
    """Submit a batch."""
    return await load.send("/jobs/batch", *[load.new_job() for _ in range(BATCH)])


async def read(load: Load) -> bool:
    """Read."""
    return await load.read()


async def crash(load: Load) -> bool:
    """Submit a job that ends its process."""
    return await load.send("/jobs/", load.new_crashing_job())


Call = Callable[[Load], Awaitable[bool]]
#: Calls a second and the function of each stream. Together they submit 200 jobs a second.
STREAMS: dict[str, tuple[float, Call]] = {
    "submit": (20, submit),
    "batch": (4.5, submit_batch),
    "read": (10, read),
    "crash": (0.2, crash),
}


def main() -> None:
    """Run the load that the arguments describe."""
    parser = command_line("soak.load", __doc__)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("window_s", type=float)
    parser.add_argument("rate", type=float)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    uvloop.run(Load(asked.url, asked.seconds, asked.window_s, asked.rate, asked.folder).run())


if __name__ == "__main__":
    main()

"""An event loop under test, and operations for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from rig.system import until

from common.domain.decisions import Failure
from common.domain.job import ClaimedJob
from common.settings import Settings
from jobproc import Context, operation
from jobproc.operations import operations_of
from worker.execution.event_loop import AsyncAttempt, EventLoop
from worker.operations.installed import InstalledOperation, installed

FOREVER_S = 60.0


class Nothing(BaseModel):
    """Input of the operations here."""


@dataclass
class LoopUnderTest:
    """An event loop, the events that it reports, and a clock that the test sets."""

    operations: dict[str, InstalledOperation] = field(default_factory=dict)
    events: list[AsyncAttempt] = field(default_factory=list)
    heartbeats: int = 0
    deaths: int = 0
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.loop = EventLoop(
            Settings(progress_min_interval_seconds=0.001, event_loop_block_timeout_seconds=0.05),
            self.operations,
            self.heartbeat,
            self.died,
        )

    def heartbeat(self) -> None:
        self.heartbeats += 1

    def died(self) -> None:
        self.deaths += 1

    def run(self, body: Callable[[Context], Any], number: int = 0, **job_fields: Any) -> AsyncAttempt:
        """Start an attempt that runs a coroutine function."""

        async def function(_: Nothing, job: Context) -> Any:
            return await body(job)

        function.__annotations__["_"] = Nothing
        name = f"body_{body.__name__.strip('<>')}"
        operation(name=name)(function)
        self.operations[name] = installed(operations_of([function])[-1])
        attempt = AsyncAttempt(
            ClaimedJob(f"job-{number}", 1, 0, 3, name, "{}", **{"timeout_ms": None} | job_fields),
            "q",
            self.events.append,
            lambda: self.now_s,
        )
        self.loop.start_attempts([attempt])
        return attempt

    def result(self, attempt: AsyncAttempt) -> str | Failure:
        """Wait for the end of an attempt."""
        until("the attempt has ended", lambda: attempt.result is not None, pause_s=0.001)
        assert attempt.result is not None
        assert self.events.count(attempt) >= 1
        return attempt.result


async def sleep_forever(_job: Context) -> str:
    await asyncio.sleep(FOREVER_S)
    return "slept"

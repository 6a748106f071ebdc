"""The event loop of a process: attempts beside each other, each with its limit, its context and its end."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from pydantic import BaseModel
from rig.system import until

from common.domain.decisions import DEADLINE_EXCEEDED, STOPPED, AttemptOutcome, Failure, timed_out
from common.domain.errors import PermanentFailure
from common.domain.job import ClaimedJob, ClaimExtras
from common.settings import Settings
from worker.execution.event_loop import AsyncAttempt, EventLoop
from worker.operations import Context, Operation, operation
from worker.shared_memory.slots import KillReason

LIMIT_MS = 50
AGES = 60.0


class Nothing(BaseModel):
    """Input of the operations here."""


@dataclass
class Ground:
    """A loop, what it tells, and a clock that moves by hand."""

    operations: dict[str, Operation] = field(default_factory=dict)
    told: list[AsyncAttempt] = field(default_factory=list)
    pulses: int = 0
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.loop = EventLoop(Settings(progress_seconds=0.001, async_block_seconds=0.05), self.operations, self.pulse)

    def pulse(self) -> None:
        self.pulses += 1

    def run(self, deed: Callable[[Context], Any], number: int = 0, **about: Any) -> AsyncAttempt:
        """Run a deed beside what runs."""

        async def function(_: Nothing, job: Context) -> Any:
            return await deed(job)

        function.__annotations__["_"] = Nothing
        name = f"deed_{deed.__name__.strip('<>')}"
        operation(name)(function)
        self.operations[name] = function.__jobproc__  # type: ignore[attr-defined]  # the decorator sets it
        run = AsyncAttempt(ClaimedJob(f"job-{number}", 1, 0, 3, name, "{}", **{"timeout_ms": None} | about), "q", self.told.append, lambda: self.now_s)
        self.loop.start_attempts([run])
        return run

    def came(self, run: AsyncAttempt) -> str | Failure:
        """Wait for its end."""
        until("it has ended", lambda: run.result is not None, pause_s=0.001)
        assert run.result is not None
        assert self.told.count(run) >= 1
        return run.result


@pytest.fixture
def ground(bare: pytest.MonkeyPatch) -> Iterator[Ground]:
    one = Ground()
    yield one
    one.loop.stop()
    until("its thread has ended", lambda: not one.loop._thread.is_alive())
    one.loop._loop.close()


@pytest.fixture
def started(ground: Ground) -> Ground:
    ground.loop.start()
    return ground


async def for_ages(_job: Context) -> str:
    await asyncio.sleep(AGES)
    return "at last"


async def in_spite_of_all(_job: Context) -> str:
    try:
        await asyncio.sleep(AGES)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "in spite of it"


def test_all_that_is_begun_runs_at_the_same_time(started: Ground) -> None:
    """Each waits until all the others are there."""
    inside, everybody = set[str](), asyncio.Event()

    async def meet(job: Context) -> int:
        inside.add(job.job_id)
        if len(inside) == 100:
            everybody.set()
        await everybody.wait()
        return len(inside)

    runs = [started.run(meet, number) for number in range(100)]
    assert {started.came(run) for run in runs} == {"100"}


def test_what_it_took_is_told_by_the_clock(started: Ground) -> None:
    async def take(_job: Context) -> None:
        started.now_s += 2.5

    run = started.run(take)
    assert started.came(run) == "null"
    assert (run.started_at_s, run.duration_s) == (100.0, 2.5)


def test_what_one_raises_is_its_own_failure(started: Ground) -> None:
    async def fail(_job: Context) -> None:
        raise PermanentFailure("no")

    async def leave(_job: Context) -> None:
        raise SystemExit(1)

    async def cancel_itself(_job: Context) -> None:
        raise asyncio.CancelledError

    beside = started.run(for_ages, 9)
    assert started.came(started.run(fail)) == Failure(AttemptOutcome.PERMANENT, "PermanentFailure", "no")
    assert started.came(started.run(leave)) == Failure(AttemptOutcome.ERROR, "SystemExit", "1")
    assert started.came(started.run(cancel_itself)) == Failure(AttemptOutcome.ERROR, "CancelledError", "CancelledError")
    assert beside.result is None


@pytest.mark.parametrize("deed", [for_ages, in_spite_of_all])
def test_one_past_its_limit_has_timed_out_whatever_it_does_then(started: Ground, deed: Callable[[Context], Any]) -> None:
    assert started.came(started.run(deed, timeout_ms=LIMIT_MS)) == timed_out(LIMIT_MS)


def test_a_time_out_of_its_own_is_no_limit(started: Ground) -> None:
    async def wait_in_vain(_job: Context) -> None:
        await asyncio.wait_for(asyncio.sleep(AGES), 0.001)

    failure = started.came(started.run(wait_in_vain, timeout_ms=60_000))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == (AttemptOutcome.ERROR, "TimeoutError")


def test_one_whose_deadline_has_passed_does_not_begin(started: Ground) -> None:
    assert started.came(started.run(for_ages, extras=ClaimExtras(deadline_in_s=0.0))) == DEADLINE_EXCEEDED


def test_one_that_is_stopped_for_its_client_has_stopped(started: Ground) -> None:
    run, beside = started.run(for_ages), started.run(for_ages, 1)
    run.cancel_requested_at_s = started.now_s
    started.loop.cancel(run)
    assert started.came(run) == STOPPED
    assert beside.result is None


def test_one_that_is_stopped_before_its_first_step_has_an_end(ground: Ground) -> None:
    run = ground.run(for_ages)
    ground.loop.cancel(run)
    ground.loop.start()
    assert ground.came(run) == STOPPED


def test_progress_is_left_for_others_to_store_and_says_when_the_job_is_lost(started: Ground) -> None:
    async def report(job: Context) -> bool:
        while job.progress(0.5, "half"):  # noqa: ASYNC110 - it reports again and again
            await asyncio.sleep(0.001)
        return job.cancelled

    run = started.run(report)
    until("it is told", lambda: run in started.told)
    assert run.report == (0.5, "half")
    run.is_owned = False
    assert started.came(run) == "false"


def test_each_has_its_own_context_for_logs_and_spans(ground: Ground, kept: InMemorySpanExporter) -> None:
    async def look_around(job: Context) -> list[Any]:
        seen = []
        for _ in range(5):
            await asyncio.sleep(0.001)
            seen.append([structlog.contextvars.get_contextvars()["job_id"], f"{get_current_span().get_span_context().span_id:x}"])
        return [job.job_id, *seen]

    ground.loop.traced = True
    ground.loop.start()
    runs = [ground.run(look_around, number, trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") for number in range(10)]
    for number, run in enumerate(runs):
        ground.came(run)
        assert run.span is not None
        assert run.result == f'["job-{number}",' + ",".join([f'["job-{number}","{run.span.span_id:x}"]'] * 5) + "]"
    assert {span.attributes["messaging.message.id"] for span in kept.get_finished_spans() if span.attributes} == {f"job-{number}" for number in range(10)}


def test_a_loop_that_goes_on_has_a_pulse_and_of_one_that_stands_still_it_can_be_told_in_whose_code_it_is(started: Ground) -> None:
    go_on = threading.Event()

    async def block(_job: Context) -> None:
        go_on.wait(AGES)

    until("it has a pulse", lambda: started.pulses > 3)
    started.run(for_ages, 1)
    run = started.run(block, 2)
    until("it is in the one that blocks", lambda: started.loop.current_attempt() is run)
    before = started.pulses
    time.sleep(0.02)  # four pulses
    assert started.pulses == before
    go_on.set()
    started.came(run)
    until("it has a pulse", lambda: started.pulses > before)


@pytest.mark.parametrize(
    ("limit_ms", "asked_s", "now_s", "blame"),
    [
        (None, None, 1e9, None),
        (2_000, None, 102.9, None),
        (2_000, None, 103.1, KillReason.TIMEOUT),
        (None, 105.0, 105.9, None),
        (None, 105.0, 106.1, KillReason.IGNORES_CANCEL),
        (2_000, 101.0, 102.1, KillReason.IGNORES_CANCEL),
    ],
)
def test_who_goes_on_past_a_limit_and_the_grace_is_to_blame(limit_ms: int | None, asked_s: float | None, now_s: float, blame: KillReason | None) -> None:
    run = AsyncAttempt(ClaimedJob("job", 1, 0, 3, "deed", "{}", limit_ms), "q", lambda _: None, lambda: 100.0)
    run.cancel_requested_at_s = asked_s
    assert run.kill_reason(now_s, 1.0) == blame

"""`jobproc.testing`: time limits, cancels and the Context of an attempt in the process of a test."""

import asyncio
import math
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from common.domain.decisions import timed_out
from jobproc import (
    Context,
    JobprocError,
    SubmissionError,
    operation,
)
from jobproc.testing import (
    Cancelled,
    Progress,
    Retries,
    arun,
    run,
)

F = TypeVar("F", bound=Callable[..., Any])


def quick(name: str, timeout_seconds: float = 60.0) -> Callable[[F], F]:
    """Declare an operation."""
    return operation(name=name, base_seconds=2.0, cap_seconds=60.0, timeout_seconds=timeout_seconds)


class Booking(BaseModel):
    """An input."""

    day: date
    nights: int = 1


@quick("test.reserve")
def reserve(booking: Booking) -> None:
    """Do nothing."""


@quick("test.slow", timeout_seconds=0.05)
def slow(seconds: float) -> float:
    """Sleep."""
    time.sleep(seconds)
    return seconds


@quick("test.stubborn", timeout_seconds=0.05)
def stubborn(*, raise_another: bool) -> str:
    """Handle every exception of a sleep."""
    try:
        time.sleep(5)
    except BaseException as error:
        if raise_another:
            raise ValueError from error
    return "handled"


@quick("test.slow_async", timeout_seconds=0.05)
async def slow_async(seconds: float) -> float:
    """Sleep."""
    await asyncio.sleep(seconds)
    return seconds


@quick("test.own_timeout", timeout_seconds=5.0)
def own_timeout() -> None:
    """Raise the TimeoutError of something else."""
    raise TimeoutError("of a socket")


@pytest.mark.parametrize("late", [slow, slow_async])
def test_an_attempt_has_the_time_limit_of_its_operation(late: Callable[..., Any]) -> None:
    began = time.monotonic()
    outcome = run(late, {"seconds": 5})
    assert time.monotonic() - began < 4
    assert isinstance(outcome, Retries)
    assert (outcome.error_type, outcome.error_text) == (timed_out(50).error_type, timed_out(50).error_text)
    assert run(late, {"seconds": 0.1}, timeout_seconds=None).result == 0.1
    soon = datetime.now(UTC) + timedelta(seconds=0.05)
    assert isinstance(run(late, {"seconds": 5}, timeout_seconds=None, deadline=soon), Retries)


@pytest.mark.parametrize("raise_another", [True, False])
def test_an_operation_cannot_handle_its_time_limit(raise_another: bool) -> None:
    outcome = run(stubborn, {"raise_another": raise_another})
    assert isinstance(outcome, Retries)
    assert outcome.error_type == "timeout"


def test_another_timer_goes_on_after_the_attempt_and_comes_first_if_it_is_due_first() -> None:
    alarms: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, _frame: alarms.append(number))
    before = signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        run(slow, {"seconds": 0.01})
        assert 58 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert run(slow, {"seconds": 0.04}).result == 0.04
        assert alarms == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_outside_of_the_main_thread_the_limit_holds_too() -> None:
    outcomes: list[Any] = []

    def run_all() -> None:
        outcomes.extend([run(slow, {"seconds": 0.5}), run(slow, {"seconds": 0}), run(own_timeout)])

    thread = threading.Thread(target=run_all)
    thread.start()
    thread.join(10)
    late, quick_one, own = outcomes
    assert (late.error_type, quick_one.result, own.error_type) == ("timeout", 0, "TimeoutError")


@quick("test.checking")
def checking(times: int, job: Context) -> int:
    """Check for a cancel several times."""
    for number in range(times):
        job.check()
        job.progress(number / times)
    return times


@quick("test.waiting")
async def waiting(job: Context) -> None:
    """Wait for ever; say if it is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        job.logger.warning("cleaned up")


@quick("test.checking_async")
async def checking_async(job: Context) -> None:
    """Check until the job is cancelled."""
    for _ in range(1_000):
        job.progress(None)
        await asyncio.sleep(0)


def test_a_job_is_cancelled_after_some_checks_or_from_the_beginning() -> None:
    outcome = run(checking, {"times": 5}, cancel_after_checks=3)
    assert isinstance(outcome, Cancelled)
    assert outcome.progress == (Progress(0.0, None),)
    assert run(checking, {"times": 5}, cancel_after_checks=10).result == 5
    assert isinstance(run(checking, {"times": 0}, cancelled=True), Cancelled)  # whatever it returns
    assert isinstance(run(own_timeout, cancelled=True), Cancelled)
    assert isinstance(run(checking_async, cancel_after_checks=3), Cancelled)
    outcome = run(waiting, cancelled=True)
    assert isinstance(outcome, Cancelled)
    assert [line.message for line in outcome.logs] == ["cleaned up"]
    assert outcome.error_text == "the attempt stopped when it was asked to"


@quick("test.facts")
def facts(job: Context) -> dict[str, Any]:
    """Return the facts of the job."""
    deadline = job.deadline and job.deadline.isoformat()
    return {"id": job.job_id, "attempt": job.attempt, "tags": job.tags, "meta": job.metadata, "deadline": deadline}


def test_the_context_has_the_facts_of_the_job() -> None:
    deadline = datetime(2999, 1, 1, tzinfo=UTC)
    outcome = run(facts, attempt=2, job_id="an-id", tags=["a"], metadata={"of": 1}, deadline=deadline)
    assert outcome.result == {
        "id": "an-id",
        "attempt": 2,
        "tags": ["a"],
        "meta": {"of": 1},
        "deadline": "2999-01-01T00:00:00+00:00",
    }


@quick("test.submitting")
async def submitting(job: Context) -> list[str]:
    """Submit further jobs."""
    first = job.submit("test.reserve", Booking(day=date(2026, 1, 2)), queue="mail", delay_seconds=5)
    await job.submit_async("elsewhere", {"any": 1}, idempotency_key="key")
    again = await job.submit_async("elsewhere", {"any": 1}, idempotency_key="key")
    for name, job_input in (("test.reserve", {"day": "no day"}), ("elsewhere", {"any": math.nan})):
        with pytest.raises(SubmissionError):
            job.submit(name, job_input)
    return [first, again]


def test_submitted_jobs_are_recorded() -> None:
    outcome = run(submitting, job_id="an-id")
    first, second = outcome.submitted
    assert outcome.result == [first.job_id, second.job_id]
    assert (first.operation, first.input) == ("test.reserve", {"day": "2026-01-02", "nights": 1})
    assert first.options == {"queue": "mail", "delay_seconds": 5, "idempotency_key": "an-id.1"}
    assert second.options == {"idempotency_key": "key"}


def test_an_async_operation_runs_in_a_running_loop_by_arun_alone() -> None:
    async def test() -> None:
        assert (await arun(slow_async, {"seconds": 0})).result == 0
        assert (await arun(slow, {"seconds": 0})).result == 0
        with pytest.raises(JobprocError, match=r"use `await jobproc\.testing\.arun"):
            run(slow_async, {"seconds": 0})
        one, two = await asyncio.gather(arun(waiting, cancelled=True), arun(slow_async, {"seconds": 0.01}))
        assert isinstance(one, Cancelled)
        assert two.result == 0.01
        with pytest.raises(TimeoutError):  # the end of the test itself is no outcome
            await asyncio.wait_for(arun(waiting), 0.02)

    asyncio.run(test())

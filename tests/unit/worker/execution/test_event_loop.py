"""The event loop of a process: concurrent attempts, each with its timeout, its context and its end."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span
from rig.system import until
from unit.worker.execution.support.loop_under_test import FOREVER_S, LoopUnderTest, sleep_forever

from common.domain.decisions import DEADLINE_EXCEEDED, STOPPED, AttemptOutcome, Failure, timed_out
from common.domain.job import ClaimedJob, ClaimExtras
from jobproc import Context, PermanentFailure
from worker.execution.event_loop import AsyncAttempt
from worker.shared_memory.slots import KillReason

TIMEOUT_MS = 50


async def suppress_cancel(_job: Context) -> str:
    try:
        await asyncio.sleep(FOREVER_S)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "cancel suppressed"


def test_all_attempts_run_at_the_same_time(started: LoopUnderTest) -> None:
    """Each waits until all the others have started."""
    started_ids, all_started = set[str](), asyncio.Event()

    async def wait_for_all(job: Context) -> int:
        started_ids.add(job.job_id)
        if len(started_ids) == 100:
            all_started.set()
        await all_started.wait()
        return len(started_ids)

    attempts = [started.run(wait_for_all, number) for number in range(100)]
    assert {started.result(attempt) for attempt in attempts} == {"100"}


def test_the_duration_of_an_attempt_is_measured_by_the_clock(started: LoopUnderTest) -> None:
    async def take_time(_job: Context) -> None:
        started.now_s += 2.5

    attempt = started.run(take_time)
    assert started.result(attempt) == "null"
    assert (attempt.started_at_s, attempt.duration_s) == (100.0, 2.5)


def test_an_exception_fails_its_own_attempt_alone(started: LoopUnderTest) -> None:
    async def fail(_job: Context) -> None:
        raise PermanentFailure("no")

    async def exit_process(_job: Context) -> None:
        raise SystemExit(1)

    async def cancel_itself(_job: Context) -> None:
        raise asyncio.CancelledError

    other = started.run(sleep_forever, 9)
    assert started.result(started.run(fail)) == Failure(AttemptOutcome.PERMANENT, "PermanentFailure", "no")
    assert started.result(started.run(exit_process)) == Failure(AttemptOutcome.ERROR, "SystemExit", "1")
    assert started.result(started.run(cancel_itself)) == Failure(
        AttemptOutcome.ERROR, "CancelledError", "CancelledError"
    )
    assert other.result is None


@pytest.mark.parametrize("body", [sleep_forever, suppress_cancel])
def test_an_attempt_past_its_timeout_has_timed_out_even_if_it_suppresses_the_cancel(
    started: LoopUnderTest, body: Callable[[Context], Any]
) -> None:
    assert started.result(started.run(body, timeout_ms=TIMEOUT_MS)) == timed_out(TIMEOUT_MS)


def test_a_timeout_inside_the_operation_is_an_ordinary_error(started: LoopUnderTest) -> None:
    async def wait_in_vain(_job: Context) -> None:
        await asyncio.wait_for(asyncio.sleep(FOREVER_S), 0.001)

    failure = started.result(started.run(wait_in_vain, timeout_ms=60_000))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == (AttemptOutcome.ERROR, "TimeoutError")


def test_an_attempt_past_its_deadline_does_not_start(started: LoopUnderTest) -> None:
    assert started.result(started.run(sleep_forever, extras=ClaimExtras(deadline_in_s=0.0))) == DEADLINE_EXCEEDED


def test_an_attempt_cancelled_for_its_client_ends_as_stopped(started: LoopUnderTest) -> None:
    attempt, other = started.run(sleep_forever), started.run(sleep_forever, 1)
    attempt.cancel_requested_at_s = started.now_s
    started.loop.cancel(attempt)
    assert started.result(attempt) == STOPPED
    assert other.result is None


def test_an_attempt_cancelled_before_its_first_step_ends_as_stopped(idle: LoopUnderTest) -> None:
    attempt = idle.run(sleep_forever)
    idle.loop.cancel(attempt)
    idle.loop.start()
    assert idle.result(attempt) == STOPPED


def test_progress_is_handed_to_the_executor_and_returns_false_once_the_job_is_lost(started: LoopUnderTest) -> None:
    async def report(job: Context) -> bool:
        while job.progress(0.5, "half"):  # noqa: ASYNC110 - reports repeatedly
            await asyncio.sleep(0.001)
        return job.cancelled

    attempt = started.run(report)
    until("it is reported", lambda: attempt in started.events)
    assert attempt.report == (0.5, "half")
    attempt.is_owned = False
    assert started.result(attempt) == "false"


def test_each_attempt_has_its_own_context_for_logs_and_spans(
    idle: LoopUnderTest, exported_spans: InMemorySpanExporter
) -> None:
    async def read_context(job: Context) -> list[Any]:
        seen = []
        for _ in range(5):
            await asyncio.sleep(0.001)
            seen.append(
                [
                    structlog.contextvars.get_contextvars()["job_id"],
                    f"{get_current_span().get_span_context().span_id:x}",
                ]
            )
        return [job.job_id, *seen]

    idle.loop.traced = True
    idle.loop.start()
    attempts = [
        idle.run(read_context, number, trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        for number in range(10)
    ]
    for number, attempt in enumerate(attempts):
        idle.result(attempt)
        assert attempt.span is not None
        seen = ",".join([f'["job-{number}","{attempt.span.span_id:x}"]'] * 5)
        assert attempt.result == f'["job-{number}",{seen}]'
    assert {
        span.attributes["messaging.message.id"] for span in exported_spans.get_finished_spans() if span.attributes
    } == {f"job-{number}" for number in range(10)}


def test_a_running_loop_has_heartbeats_and_a_blocked_loop_shows_the_attempt_that_blocks_it(
    started: LoopUnderTest,
) -> None:
    unblock = threading.Event()

    async def block(_job: Context) -> None:
        unblock.wait(FOREVER_S)

    until("the loop has heartbeats", lambda: started.heartbeats > 3)
    started.run(sleep_forever, 1)
    attempt = started.run(block, 2)
    until("the loop is in the attempt that blocks it", lambda: started.loop.current_attempt() is attempt)
    before = started.heartbeats
    time.sleep(0.02)  # four heartbeat intervals
    assert started.heartbeats == before
    unblock.set()
    started.result(attempt)
    until("the loop has heartbeats", lambda: started.heartbeats > before)


@pytest.mark.parametrize(
    ("timeout_ms", "cancel_requested_s", "now_s", "reason"),
    [
        (None, None, 1e9, None),
        (2_000, None, 102.9, None),
        (2_000, None, 103.1, KillReason.TIMEOUT),
        (None, 105.0, 105.9, None),
        (None, 105.0, 106.1, KillReason.IGNORES_CANCEL),
        (2_000, 101.0, 102.1, KillReason.IGNORES_CANCEL),
    ],
)
def test_an_attempt_that_runs_on_past_a_limit_and_the_grace_gives_a_kill_reason(
    timeout_ms: int | None, cancel_requested_s: float | None, now_s: float, reason: KillReason | None
) -> None:
    attempt = AsyncAttempt(ClaimedJob("job", 1, 0, 3, "body", "{}", timeout_ms), "q", lambda _: None, lambda: 100.0)
    attempt.cancel_requested_at_s = cancel_requested_s
    assert attempt.kill_reason(now_s, 1.0) == reason

"""Ends of an event loop: exits in tasks and callbacks of attempts, a stop, an error of the loop itself."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rig.system import until
from unit.worker.execution.support.loop_under_test import FOREVER_S, LoopUnderTest, sleep_forever

from common.domain.decisions import AttemptOutcome, Failure
from jobproc import Context
from worker.shared_memory.slots import KillReason


async def exit_in_task(_job: Context) -> None:
    task = asyncio.create_task(raise_in_coroutine(SystemExit("beside")))
    await asyncio.sleep(FOREVER_S)
    await task


async def exit_in_awaited_task(_job: Context) -> None:
    await asyncio.create_task(raise_in_coroutine(SystemExit("beside")))


async def exit_in_group(_job: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raise_in_coroutine(SystemExit("beside")))
        await asyncio.sleep(FOREVER_S)


async def exit_in_callback(_job: Context) -> None:
    asyncio.get_running_loop().call_later(0.001, sys.exit, "beside")
    await asyncio.sleep(FOREVER_S)


async def interrupt_in_nested_task(_job: Context) -> None:
    async def start() -> None:
        asyncio.get_running_loop().call_soon(raise_at_once, KeyboardInterrupt("beside"))
        await asyncio.sleep(FOREVER_S)

    await asyncio.gather(start(), asyncio.sleep(FOREVER_S))


async def raise_in_coroutine(error: BaseException) -> None:
    raise error


def raise_at_once(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "body", [exit_in_task, exit_in_awaited_task, exit_in_group, exit_in_callback, interrupt_in_nested_task]
)
def test_an_exit_in_a_task_or_callback_of_an_attempt_fails_this_attempt_alone(
    started: LoopUnderTest, body: Callable[[Context], Any]
) -> None:
    other = started.run(sleep_forever, 9)
    failure = started.result(started.run(body))
    assert isinstance(failure, Failure)
    assert failure.error_type == ("KeyboardInterrupt" if "interrupt" in body.__name__ else "SystemExit")
    assert (failure.outcome, failure.error_text) == (AttemptOutcome.ERROR, "beside")
    before = started.heartbeats
    until("the loop has heartbeats", lambda: started.heartbeats > before)
    assert (other.result, started.deaths) == (None, 0)


def test_an_exit_in_a_task_that_has_outlived_its_attempt_is_only_logged(started: LoopUnderTest) -> None:
    async def leave_callback(_job: Context) -> str:
        asyncio.get_running_loop().call_later(0.01, sys.exit, "late")
        return "done"

    attempt = started.run(leave_callback)
    assert started.result(attempt) == '"done"'
    assert started.result(started.run(exit_in_callback, 1)) != attempt.result
    assert (attempt.result, attempt.exit, started.deaths) == ('"done"', None, 0)


def test_an_attempt_that_runs_on_after_an_exit_and_the_grace_gives_a_kill_reason(started: LoopUnderTest) -> None:
    async def ignore_cancel(_job: Context) -> None:
        asyncio.get_running_loop().call_soon(raise_at_once, SystemExit())
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(FOREVER_S)

    attempt = started.run(ignore_cancel)
    until("the exit is known", lambda: attempt.exit)
    assert [attempt.kill_reason(now_s, 1.0) for now_s in (100.9, 101.1)] == [None, KillReason.IGNORES_EXIT]


def test_an_operation_cannot_stop_the_loop(started: LoopUnderTest) -> None:
    async def stop_loop(_job: Context) -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.001)
        return "goes on"

    assert started.result(started.run(stop_loop)) == '"goes on"'
    assert started.deaths == 0


def test_the_death_of_the_loop_is_reported(started: LoopUnderTest) -> None:
    async def break_loop(_job: Context) -> None:
        loop._selector = None
        await asyncio.sleep(FOREVER_S)

    loop: Any = started.loop._loop
    selector = loop._selector
    started.run(break_loop)
    until("the death is reported", lambda: started.deaths == 1)
    loop._selector = selector

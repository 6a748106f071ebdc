"""`async def` operations for tests, as a third party's package would define them."""

import asyncio
import sys
import time
from typing import Any

from jobproc_test_operations import Numbers, _die, _raise_at_first, _write, quick

from jobproc import Context, RetryAfter, operation


@quick(name="await_effect", max_attempts=20)
async def await_effect(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, wait data[0] seconds, write again, return data[-1]."""
    _write(job, "begin")
    await asyncio.sleep(numbers.data[0])
    _write(job, "end")
    return numbers.data[-1]


@quick(name="await_falter", max_attempts=20)
async def await_falter(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, wait data[1] seconds, raise in the first data[0] attempts.

    Later attempts write again and return data[-1].
    """
    _write(job, "begin")
    await asyncio.sleep(numbers.data[1])
    _raise_at_first(numbers, job)
    _write(job, "end")
    return numbers.data[-1]


@operation(name="await_only")
async def await_only(numbers: Numbers) -> float:
    """Wait data[0] seconds."""
    await asyncio.sleep(numbers.data[0])
    return numbers.data[0]


@quick(name="await_limited", max_attempts=2, timeout_seconds=0.3)
async def await_limited(numbers: Numbers, job: Context) -> float:
    """Wait data[0] seconds, with a timeout of 0.3 s; suppress every cancellation if data[1] is not 0."""
    _write(job, "begin")
    until = time.monotonic() + numbers.data[0]
    while (remaining_s := until - time.monotonic()) > 0:
        try:
            await asyncio.sleep(remaining_s)
        except asyncio.CancelledError:
            if not numbers.data[1]:
                _write(job, "cancelled")
                raise
    return numbers.data[0]


@quick(name="await_stubborn", max_attempts=2)
async def await_stubborn(numbers: Numbers, job: Context) -> float:
    """Wait data[0] seconds and suppress every cancellation."""
    _write(job, "begin")
    until = time.monotonic() + numbers.data[0]
    while (remaining_s := until - time.monotonic()) > 0:
        try:
            await asyncio.sleep(remaining_s)
        except asyncio.CancelledError:
            continue
    return numbers.data[0]


@quick(name="await_told", max_attempts=1)
async def await_told(numbers: Numbers, job: Context) -> list[bool]:
    """Report progress data[0] repeatedly, until data[1] seconds have passed or a report returns False."""
    until, owned = time.monotonic() + numbers.data[1], [job.progress(numbers.data[0], "half way\x00 there")]
    while owned[-1] and time.monotonic() < until:
        await asyncio.sleep(0.01)
        owned.append(job.progress(numbers.data[0]))
    return owned[-1:]


@quick(name="await_stumble", max_attempts=3, permanent=(ZeroDivisionError,))
async def await_stumble(numbers: Numbers, job: Context) -> int:
    """Raise in the first data[0] attempts.

    data[1] selects the exception: an error, a RetryAfter, a permanent error, SystemExit.
    """
    await asyncio.sleep(0)
    if job.attempt <= numbers.data[0]:
        raise [
            RuntimeError("it stumbles"),
            RetryAfter(0.05, "come back"),
            ZeroDivisionError("for good"),
            SystemExit(3),
        ][int(numbers.data[1])]
    return job.attempt


@operation(name="await_much", max_attempts=1)
async def await_much(numbers: Numbers) -> str:
    """Return a text of data[0] characters."""
    return "x" * int(numbers.data[0])


@quick(name="await_and_fail", max_attempts=1)
async def await_and_fail(numbers: Numbers) -> None:
    """Fill data[0] MiB of memory, let others run, then raise."""
    memory = b"x" * (int(numbers.data[0]) << 20)
    await asyncio.sleep(0)
    raise ValueError(len(memory))


@quick(name="await_fall", max_attempts=20)
async def await_fall(numbers: Numbers, job: Context) -> None:
    """Write to the ledger, wait data[0] seconds, kill this process."""
    _write(job, "begin")
    await asyncio.sleep(numbers.data[0])
    _die()


async def _exit() -> None:
    sys.exit("beside")


def _interrupt() -> None:
    raise KeyboardInterrupt


@quick(name="await_beside", max_attempts=2)
async def await_beside(numbers: Numbers, job: Context) -> float:
    """Do something beside in the first attempt, which data[0] selects; wait data[1] seconds.

    0: exit in a task. 1: interrupt in a callback. 2: stop the loop. 3: close the files of the loop.
    """
    _write(job, "begin")
    loop: Any = asyncio.get_running_loop()
    if job.attempt == 1:
        beside = [_exit, _interrupt, loop.stop, loop._selector.close][int(numbers.data[0])]
        _kept.append(loop.create_task(_exit()) if beside is _exit else loop.call_later(0.01, beside))
    await asyncio.sleep(numbers.data[1])
    _write(job, "end")
    return numbers.data[1]


_kept: list[object] = []  # a loop keeps no strong reference to its tasks


@quick(name="block", max_attempts=2)
async def block(numbers: Numbers, job: Context) -> float:
    """Block the event loop for data[0] seconds."""
    _write(job, "begin")
    time.sleep(numbers.data[0])  # noqa: ASYNC251 - what an operation must not do
    return numbers.data[0]

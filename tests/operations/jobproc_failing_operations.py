"""Operations for tests that fail in one way each, as a third party's package would."""

import asyncio
import os
import sys
from collections.abc import Callable

from jobproc_test_operations import Numbers, quick

from jobproc import Context

DEPTH = 100_000


def raise_with_a_cause() -> None:
    """Raise an error with a cause, in a frame below its caller's."""
    secret = "s3cret-local"  # noqa: S105 - a local variable, which no traceback shows
    try:
        {0: secret}[len(secret)]
    except KeyError as error:
        raise LookupError("no address") from error


def _raise_group() -> None:
    raise ExceptionGroup("two at once", [ValueError("the first"), KeyError("the second")])


def _recurse() -> None:
    def deeper(depth: int) -> int:
        return deeper(depth + 1)

    sys.setrecursionlimit(DEPTH)
    try:
        deeper(0)
    finally:
        sys.setrecursionlimit(1_000)


class Unspeakable(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _raise_unspeakable() -> None:
    raise Unspeakable


def _raise_long_text() -> None:
    raise ValueError("begin\x00\ud800" + "é" * 5_000_000 + "end")


FAILURES: list[Callable[[], None]] = [
    raise_with_a_cause,
    _raise_group,
    _recurse,
    _raise_unspeakable,
    _raise_long_text,
]


@quick(name="fail_in_a_way", max_attempts=2)
def fail_in_a_way(numbers: Numbers, job: Context) -> int:
    """Fail in the first data[1] attempts, in the way that data[0] selects; then return the attempt."""
    if job.attempt <= numbers.data[1]:
        FAILURES[int(numbers.data[0])]()
    return job.attempt


@quick(name="await_in_vain", max_attempts=1, timeout_seconds=0.2)
async def await_in_vain(numbers: Numbers) -> None:
    """Fail in the way that data[0] selects; -1: wait past the timeout."""
    await asyncio.sleep(30 if numbers.data[0] < 0 else 0)
    FAILURES[int(numbers.data[0])]()


@quick(name="leave", max_attempts=1)
def leave(numbers: Numbers) -> None:
    """End this process with the exit code data[0]."""
    os._exit(int(numbers.data[0]))

"""Operations for the tests of submission options."""

import os
import signal
import time
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from jobproc_test_operations import Numbers, _write, quick
from pydantic import BaseModel, ConfigDict, Field

from jobproc import Context, RetryAfter


class Greeting(BaseModel):
    """Input that is not a list of numbers."""

    model_config = ConfigDict(extra="forbid")

    name: str
    times: int = 1


@quick(name="greet", max_attempts=1)
def greet(greeting: Greeting) -> str:
    """Say hello."""
    return " ".join([f"hello {greeting.name}"] * greeting.times)


class Meeting(BaseModel):
    """Input with formats."""

    day: date
    begins_at: datetime | None = None
    room: UUID | None = None


@quick(name="meet", max_attempts=1)
def meet(meeting: Annotated[Meeting, Field(description="a meeting")]) -> str:
    """Return the day of a meeting."""
    return meeting.day.isoformat()


@quick(name="nest", max_attempts=1)
def nest(depth: Annotated[int, Field(ge=1, le=1_000_000)]) -> list[Any]:
    """Return lists in lists."""
    nested: list[Any] = []
    for _ in range(depth - 1):
        nested = [nested]
    return nested


@quick(name="name_twice", max_attempts=3)
def name_twice(numbers: Numbers) -> dict[Any, float]:
    """Return a dictionary with two keys that are one name in JSON."""
    return {1: numbers.data[0], "1": numbers.data[-1]}


@quick(name="later", max_attempts=5)
def later(numbers: Numbers, job: Context) -> int:
    """Ask for a retry data[0] seconds later in the first attempt; then return the number of the attempt."""
    if job.attempt == 1:
        raise RetryAfter(numbers.data[0], "come back")
    return job.attempt


@quick(name="marked", max_attempts=3, version=2)
def marked(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, sleep data[0] seconds, write again."""
    _write(job, "begin")
    time.sleep(numbers.data[0])
    _write(job, "end")
    return numbers.data[-1]


@quick(name="burn", max_attempts=1)
def burn(numbers: Numbers) -> int:
    """Use the CPU for data[0] seconds while holding data[1] MiB of memory."""
    held = bytearray(int(numbers.data[1]) << 20)
    until = time.process_time() + numbers.data[0]
    while time.process_time() < until:
        pass
    return len(held)


@quick(name="take_parent_along", max_attempts=9)
def take_parent_along(numbers: Numbers, job: Context) -> int:
    """Kill the whole worker in the first data[0] attempts."""
    _write(job, "begin")
    if job.attempt <= numbers.data[0]:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return job.attempt

"""Operations for tests, installed like a third party's package by the entry point group `jobproc.operations`.

The numbers of `data` are their arguments. Files are written to the folder JOBPROC_TEST_FOLDER.
"""

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from jobproc import Context, PermanentFailure, RetryAfter, operation


class Numbers(BaseModel):
    """Input of the operations here."""

    model_config = ConfigDict(extra="forbid")

    data: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


F = TypeVar("F", bound=Callable[..., Any])


def quick(**options: Any) -> Callable[[F], F]:
    """Declare an operation that is retried almost at once."""
    return operation(**{"base_seconds": 0.05, "cap_seconds": 0.2} | options)


def _folder() -> Path:
    return Path(os.environ["JOBPROC_TEST_FOLDER"])


def _write(job: Context, phase: str) -> None:
    # One short line in one O_APPEND write: it is whole, whichever process is killed next.
    effect = {"job": job.job_id, "attempt": job.attempt, "pid": os.getpid(), "phase": phase, "at": time.monotonic()}
    ledger = os.open(_folder() / "effects.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ledger, (json.dumps(effect) + "\n").encode())
    os.close(ledger)


def _raise_at_first(numbers: Numbers, job: Context) -> None:
    if job.attempt <= numbers.data[0]:
        raise RuntimeError(f"attempt {job.attempt} fails")


def _die(signal_number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), signal_number)
    time.sleep(60)


@operation(name="noop")
def noop(numbers: Numbers) -> int:
    """Return the number of numbers in `data`."""
    return len(numbers.data)


@quick(name="effect", max_attempts=20)
def effect(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, sleep data[0] seconds, write again, return data[-1]."""
    _write(job, "begin")
    time.sleep(numbers.data[0])
    _write(job, "end")
    return numbers.data[-1]


@quick(name="stumble", max_attempts=20)
def stumble(numbers: Numbers, job: Context) -> float:
    """Write to the ledger and raise in the first data[0] attempts; later write again and return data[-1]."""
    _write(job, "begin")
    _raise_at_first(numbers, job)
    _write(job, "end")
    return numbers.data[-1]


@quick(name="fall", max_attempts=20)
def fall(numbers: Numbers, job: Context) -> float:
    """Write to the ledger and kill this process in the first data[0] attempts; later write again, return data[-1]."""
    _write(job, "begin")
    if job.attempt <= numbers.data[0]:
        _die()
    _write(job, "end")
    return numbers.data[-1]


@quick(name="swell", max_attempts=20)
def swell(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, fill data[0] MiB of memory, write again, return data[-1]."""
    _write(job, "begin")
    bytearray(int(numbers.data[0]) << 20)
    _write(job, "end")
    return numbers.data[-1]


@quick(name="linger", max_attempts=20)
def linger(numbers: Numbers, job: Context) -> float:
    """Write to the ledger, wait data[0] seconds, write again, return data[-1]; raise Cancelled if cancelled before."""
    _write(job, "begin")
    until = time.monotonic() + numbers.data[0]
    while time.monotonic() < until:
        job.check()
        time.sleep(0.005)
    _write(job, "end")
    return numbers.data[-1]


@quick(name="heed", max_attempts=3)
def heed(numbers: Numbers, job: Context) -> bool:
    """Wait data[0] seconds or until cancelled, then act by data[1].

    1: raise PermanentFailure. 2: raise RetryAfter. 3: exit the process. Else: report progress and return the answer.
    """
    until = time.monotonic() + numbers.data[0]
    while not job.cancelled and time.monotonic() < until:
        time.sleep(0.005)
    action = int(numbers.data[1])
    if action == 1:
        raise PermanentFailure("it was cancelled")
    if action == 2:
        raise RetryAfter(600)
    if action == 3:
        os._exit(1)
    return job.progress(0.5)


@quick(name="sleep")
def sleep(numbers: Numbers, job: Context) -> float:
    """Sleep data[0] seconds."""
    time.sleep(numbers.data[0])
    return numbers.data[0]


@quick(name="fail_times", max_attempts=5)
def fail_times(numbers: Numbers, job: Context) -> int:
    """Raise in the first data[0] attempts; then return the number of the attempt."""
    _raise_at_first(numbers, job)
    return job.attempt


@operation(name="back_off", base_seconds=3_600.0, cap_seconds=3_600.0)
def back_off(numbers: Numbers, job: Context) -> int:
    """Raise in the first data[0] attempts, with a retry after an hour; then return the number of the attempt."""
    _raise_at_first(numbers, job)
    return job.attempt


@quick(name="fail_for_good", max_attempts=5, permanent=(ZeroDivisionError,))
def fail_for_good(numbers: Numbers) -> float:
    """Divide by data[0], then raise PermanentFailure."""
    1 / numbers.data[0]
    raise PermanentFailure("there is no use in trying")


@quick(name="die_times", max_attempts=3)
def die_times(numbers: Numbers, job: Context) -> int:
    """Kill this process with signal data[1] (or SIGKILL) in the first data[0] attempts; then return the attempt."""
    if job.attempt <= numbers.data[0]:
        _write(job, "die")
        _die(int(numbers.data[1]) if len(numbers.data) > 1 else signal.SIGKILL)
    return job.attempt


@operation(name="exit_process", max_attempts=1)
def exit_process(numbers: Numbers) -> None:
    """Raise SystemExit."""
    raise SystemExit(int(numbers.data[0]))


@quick(name="hang_in_c", max_attempts=2, timeout_seconds=1.0)
def hang_in_c(numbers: Numbers) -> bool:
    """Hold the GIL in C code for a very long time: no Python signal handler runs meanwhile."""
    return re.match(r"(a+)+$", "a" * int(numbers.data[0]) + "b") is not None


@quick(name="sleep_limited", max_attempts=2, timeout_seconds=0.5)
def sleep_limited(numbers: Numbers, job: Context) -> float:
    """Sleep data[0] seconds, with a timeout of half a second."""
    _write(job, "begin")
    time.sleep(numbers.data[0])
    return numbers.data[0]


@operation(name="ignore_signals", max_attempts=1, timeout_seconds=1.0)
def ignore_signals(numbers: Numbers) -> None:
    """Ignore every signal that can be ignored, sleep data[0] seconds."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(numbers.data[0])


@operation(name="allocate", max_attempts=1)
def allocate(numbers: Numbers) -> int:
    """Fill data[0] MiB of memory."""
    return len(bytearray(int(numbers.data[0]) << 20))


@operation(name="allocate_and_fail", max_attempts=1)
def allocate_and_fail(numbers: Numbers) -> None:
    """Fill data[0] MiB of memory, then raise an error that has a cause."""
    memory = b"x" * (int(numbers.data[0]) << 20)
    try:
        raise KeyError(len(memory))
    except KeyError as error:
        raise ValueError("it failed, with memory") from error


@operation(name="tell_progress", max_attempts=1)
def tell_progress(numbers: Numbers, job: Context) -> list[bool]:
    """Report progress data[0], then wait until the file `go` exists."""
    answers = [job.progress(numbers.data[0], "half way\x00 there")]
    until = time.monotonic() + 30
    while not (_folder() / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return answers


@quick(name="big_result", max_attempts=3)
def big_result(numbers: Numbers) -> str:
    """Return a text of data[0] characters."""
    return "x" * int(numbers.data[0])


@quick(name="odd_result", max_attempts=3)
def odd_result(numbers: Numbers) -> object:
    """Return a value that JSON cannot represent, or only just; data[0] selects it."""
    return [float("nan"), object(), "\ud800", None, {"nul": "\x00"}, {"deep": [1, "two"]}, 10**400][
        int(numbers.data[0])
    ]


class Rude(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@operation(name="rude_error", max_attempts=1)
def rude_error(numbers: Numbers) -> None:
    """Raise an exception whose text raises; if data[0] is 0, one with a long text that cannot be stored as it is."""
    raise Rude if numbers.data[0] else ValueError("\x00\ud800" + "é" * 100_000)


@operation(name="current_span")
def current_span(numbers: Numbers) -> str:
    """Return the current trace and span ids, after a nested span. Seeds `random`, as simulations do."""
    from opentelemetry import trace

    random.seed(int(numbers.data[0]))
    with trace.get_tracer("own").start_as_current_span("own"):
        pass
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


@operation(name="other_queue", queue="slow")
def other_queue(numbers: Numbers) -> float:
    """Return data[0]; its queue is `slow`."""
    return numbers.data[0]

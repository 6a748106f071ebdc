"""One attempt of an operation in a test: validated input, time limit, hooks, result through JSON, and the outcome."""

import asyncio
import json
import math
import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from typing_extensions import TypedDict, Unpack

from jobproc import errors, hooks
from jobproc.errors import DeclarationError, InvalidInputError, JobprocError, RetryAfter
from jobproc.operations import Operation, operations_of, registered
from jobproc.parents import Parent
from jobproc.results import encode
from jobproc.signature import described
from jobproc.submission import json_of
from jobproc.testing.outcomes import AddedJob, Cancelled, Failed, Outcome, Retries, Succeeded
from jobproc.testing.recording import RecordingContext, recorded_logs
from jobproc.testing.time_limits import SHORTEST_S, TimeLimitExceeded, call_limited

MAX_RETRY_AFTER_S = 86_400.0
MAX_EXPONENT = 62  # 2**62 s exceeds any cap; a larger exponent would only risk a float overflow
MAX_RESULT_BYTES = 1_048_576  # the default of JOBPROC_MAX_RESULT_BYTES
AnyOperation = Callable[..., Any] | Operation | str  # the decorated function, what it was declared as, or its name
_PACKAGE = str(Path(__file__).parent.parent)


class RunOptions(TypedDict, total=False):
    """Options of an attempt. Those of the job have the names of a submission."""

    attempt: int  #: its number, 1 for the first, which is the default
    max_attempts: int  #: default: that of the operation
    timeout_seconds: float | None  #: default: that of the operation
    deadline: datetime
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    #: by name: the results of the jobs for which the job has waited, or Parents as they ended
    parents: Mapping[str, Any]
    job_id: str  #: default: a random one
    cancelled: bool  #: True: the job is cancelled as the attempt begins
    cancel_after_checks: int  #: the job is cancelled after so many calls of `cancelled`, `check` or `progress`
    jitter: float  #: of the delay of a retry, from 0 to 1; default: random
    max_result_bytes: int  #: default: that of a worker, a mebibyte


@dataclass(frozen=True, slots=True)
class _Problem:
    """The reason why an attempt has no result."""

    error_type: str
    error_text: str
    is_permanent: bool = False
    error: BaseException | None = None
    retry_after_s: float | None = None


_End = str | _Problem  # the result as JSON text, or the problem


def run(operation: AnyOperation, job_input: object = None, /, **options: Unpack[RunOptions]) -> Outcome:
    """Run one attempt of an operation, and return its outcome. Raises no exception of the operation.

    `operation`: the decorated function, or its name. `job_input`: a model, dataclass or dictionary; None: there is
    none. It goes through JSON, as that of a submission does. An `async def` runs in an event loop of its own; in a
    running one use `arun`.
    """
    attempt = _Attempt(_found(operation), job_input, options)
    if not attempt.operation.is_async:
        return attempt.run()
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise JobprocError("an event loop runs already: use `await jobproc.testing.arun(...)` here")
    return asyncio.run(attempt.run_async())


async def arun(operation: AnyOperation, job_input: object = None, /, **options: Unpack[RunOptions]) -> Outcome:
    """Run one attempt as `run` does, an `async def` in the running event loop."""
    attempt = _Attempt(_found(operation), job_input, options)
    return await attempt.run_async() if attempt.operation.is_async else attempt.run()


def _found(operation: AnyOperation) -> Operation:
    if isinstance(operation, Operation):
        return operation
    if isinstance(operation, str):
        if operation in registered:
            return registered[operation]
        raise DeclarationError(f"no operation {operation!r} is declared; import its module first")
    if found := operations_of([operation]):
        return found[-1]
    raise DeclarationError(f"{described(operation)} is no operation; @operation must be the first of its decorators")


def retry_delay_s(base_s: float, cap_s: float, failures: int, jitter: float) -> float:
    """Return the delay of a worker after the given number of failed attempts: exponential backoff with equal jitter."""
    full = min(cap_s, base_s * 2.0 ** min(max(failures, 1) - 1, MAX_EXPONENT))
    return full / 2 + full / 2 * jitter


class _Attempt:
    """One attempt and its options."""

    def __init__(self, operation: Operation, job_input: object, options: RunOptions) -> None:
        self.operation = operation
        self._options = options
        self._text = "{}" if job_input is None else json_of(job_input, f"the input of {operation.name!r}")
        self.context = RecordingContext(operation, options.get("job_id", str(uuid4())), options.get("attempt", 1))
        self.context.deadline = options.get("deadline")
        self.context.tags = tuple(options.get("tags", ()))
        self.context.metadata = dict(options.get("metadata", {}))
        self.context.parents = {name: _parent(name, value) for name, value in options.get("parents", {}).items()}
        self.context.checks_before_cancel = options.get("cancel_after_checks")
        remaining_s = _remaining_s(self.context.deadline)
        timeout_s = options.get("timeout_seconds", operation.options.timeout_seconds)
        self._is_past_deadline = remaining_s <= 0
        limit_s = max(SHORTEST_S, min(timeout_s or math.inf, remaining_s))
        self._limit_s = None if limit_s == math.inf else limit_s

    def run(self) -> Outcome:
        """Run a plain operation."""
        if self._is_past_deadline:
            return self._outcome(_DEADLINE_EXCEEDED)
        if self._options.get("cancelled"):
            self.context.request_cancel()
        with recorded_logs(self.context.logged):
            try:
                end = call_limited(self._surrounded, self._limit_s)
            except TimeLimitExceeded as error:
                end = self._timed_out(error)
            except BaseException as error:  # noqa: BLE001 - any exception of user code, even SystemExit, is a failure
                end = self._failed(error)
        return self._outcome(end)

    async def run_async(self) -> Outcome:
        """Run an `async def` operation, in a task of its own that can be cancelled."""
        if self._is_past_deadline:
            return self._outcome(_DEADLINE_EXCEEDED)
        with recorded_logs(self.context.logged):
            task = asyncio.create_task(self._end_async())
            self.context.on_cancel = task.cancel
            if self._options.get("cancelled"):  # after its first step
                asyncio.get_running_loop().call_soon(self.context.request_cancel)
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()  # no effect on one that has ended
        return self._outcome(_STOPPED if task.cancelled() else task.result())

    def _surrounded(self) -> _End:
        with hooks.surround(self.operation, self.context):
            return self._checked(self.operation.run(self._text, self.context))

    async def _end_async(self) -> _End:
        try:
            async with (
                asyncio.timeout(self._limit_s) as limit,
                hooks.surround_async(self.operation, self.context),
            ):
                end = self._checked(await self.operation.run(self._text, self.context))
            return self._timed_out() if limit.expired() else end
        except BaseException as error:  # noqa: BLE001 - as above
            if isinstance(error, TimeoutError) and limit.expired():
                return self._timed_out(error)
            return self._failed(error)

    def _checked(self, value: object) -> _End:
        """Return a result as JSON text, or the problem of one that is too large."""
        text = self.operation.result_json(value)
        size, limit = len(text.encode()), self._options.get("max_result_bytes", MAX_RESULT_BYTES)
        if size > limit:
            return _Problem("result_too_large", f"the result has {size} bytes, more than {limit}", is_permanent=True)
        return text

    def _failed(self, error: BaseException) -> _Problem:
        """Return the problem of an exception. Raises those that are meant for the test."""
        of_pytest = any(type_.__module__.startswith("_pytest.") for type_ in type(error).__mro__)  # of `pytest.fail()`
        if isinstance(error, KeyboardInterrupt) or of_pytest:
            raise error
        if self.context.is_cancel_requested and isinstance(error, errors.Cancelled | asyncio.CancelledError):
            return _STOPPED
        name = "invalid_input" if isinstance(error, InvalidInputError) else type(error).__name__
        after_s = error.seconds if isinstance(error, RetryAfter) else None
        return _Problem(name, _text(error), self.operation.is_permanent(error), error, after_s)

    def _timed_out(self, error: BaseException | None = None) -> _Problem:
        return _Problem("timeout", f"the attempt ran longer than its limit of {self._limit_s:g} s", error=error)

    def _outcome(self, end: _End) -> Outcome:
        """Decide as a worker does."""
        options, context = self.operation.options, self.context
        recorded: dict[str, Any] = {
            "progress": tuple(context.reported),
            "logs": tuple(context.logged),
            "submitted": tuple(context.submitted),
            "workflows": tuple(context.workflows),
        }
        if context.is_cancel_requested:
            end = _STOPPED if isinstance(end, str) else end
            return Cancelled(**_facts(end), **recorded)
        if isinstance(end, str):
            added = tuple(
                AddedJob(job.name, job.operation, json.loads(job.input), job.options) for job in context.to_add
            )
            return Succeeded(_loaded(self.operation, end), json=end, added=added, **recorded)
        if end.is_permanent:
            return Failed(True, **_facts(end), **recorded)
        if context.attempt >= self._options.get("max_attempts", options.max_attempts):
            return Failed(False, **_facts(end), **recorded)
        jitter = self._options.get("jitter", random.random())  # noqa: S311 - as a worker does
        after_s = retry_delay_s(options.base_seconds, options.cap_seconds, context.attempt, jitter)
        if end.retry_after_s is not None:
            after_s = min(end.retry_after_s, MAX_RETRY_AFTER_S)
        return Retries(after_s, **_facts(end), **recorded)


_DEADLINE_EXCEEDED = _Problem("deadline_exceeded", "the job had not ended by its deadline", is_permanent=True)
_STOPPED = _Problem("cancelled", "the attempt stopped when it was asked to")


def _parent(name: str, value: object) -> Parent:
    if isinstance(value, Parent):
        return value
    return Parent(name, str(uuid4()), "", "SUCCESS", encode(value))


def _remaining_s(deadline: datetime | None) -> float:
    return math.inf if deadline is None else (deadline - datetime.now(deadline.tzinfo)).total_seconds()


def _facts(problem: _Problem) -> dict[str, Any]:
    error = problem.error
    return {
        "error_type": problem.error_type,
        "error_text": problem.error_text,
        "error": error,
        "traceback": None if error is None else _traceback(error),
    }


def _text(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - an exception whose __str__ raises
        return type(error).__name__


def _traceback(error: BaseException) -> str:
    """Return the traceback of an exception without the frames of this package above those of the operation."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))


def _loaded(operation: Operation, text: str) -> Any:
    """Return a result by the annotation of the operation; as plain JSON if its type cannot read what it writes."""
    try:
        return operation.load(text)
    except ValueError:
        return json.loads(text)

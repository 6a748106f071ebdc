"""One attempt of a task: its arguments, its request, its limits, and the operation that a worker runs for it."""

import json
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from types import FrameType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from jobproc.celery.errors import Retry, SoftTimeLimitExceeded
from jobproc.celery.options import operation_name
from jobproc.context import Context
from jobproc.declaration import ATTEMPTS
from jobproc.errors import Cancelled, DeclarationError, RetryAfter
from jobproc.operations import Operation, Options, register, registered
from jobproc.parents import Parent
from jobproc.results import BASE64
from jobproc.schemas import published_schema

#: Results of parents for the first argument: the name of a job of the workflow, or a list of such.
First = str | list[Any]


class TaskInput(TypedDict, total=False):
    """The input of a task's jobs."""

    args: list[Any]
    kwargs: dict[str, Any]
    first: Any  #: First; absent: the arguments are complete


with_config(BASE64 | ConfigDict(extra="forbid"))(TaskInput)
_adapter: TypeAdapter[TaskInput] = TypeAdapter(TaskInput)
_SCHEMA = published_schema(_adapter, "validation")


@dataclass(frozen=True, slots=True)
class Request:
    """The facts of the running attempt, as `self.request` has them."""

    id: str | None = None  #: of the job
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 0  #: attempts before this one, those that a process did not survive included
    called_directly: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: of the submission
    tags: Sequence[str] = ()
    expires: str | None = None
    is_eager: bool = False


NO_REQUEST = Request()
_context: ContextVar[Context | None] = ContextVar("jobproc_celery_context", default=None)
_canvases: ContextVar[Iterator[int]] = ContextVar("jobproc_celery_canvases")  #: numbers those of the running attempt
_request: ContextVar[Request] = ContextVar("jobproc_celery_request", default=NO_REQUEST)


def context_in_use() -> Context | None:
    """Return the Context of the running attempt; None: no attempt runs."""
    return _context.get()


def next_canvas_key() -> str | None:
    """Return the idempotency key of the next canvas, the same in each attempt; None: no attempt runs."""
    context = _context.get()
    return None if context is None else f"{context.job_id}.canvas.{next(_canvases.get())}"


def request_in_use() -> Request:
    """Return the request of the running attempt, or that of a direct call."""
    return _request.get()


class TaskOperation(Operation):
    """An operation for a task: as with Celery, an exception ends the job, unless it asks for a retry."""

    def is_permanent(self, error: BaseException) -> bool:
        """Return True if an exception does not ask for a retry."""
        return not isinstance(error, RetryAfter | Cancelled)


@dataclass(frozen=True, slots=True)
class Limits:
    """The options of a task that its operation has."""

    max_retries: int | None = 3  #: None: as many as an operation may have
    time_limit: float | None = None
    soft_time_limit: float | None = None
    queue: str | None = None
    queues: tuple[str, ...] = ()
    ignore_result: bool = False

    @property
    def max_attempts(self) -> int:
        """The attempts of a job."""
        return ATTEMPTS[-1] if self.max_retries is None else min(self.max_retries + 1, ATTEMPTS[-1])


def declare(
    task_name: str, function: Any, run: Callable[[Request], Any], limits: Limits, description: str = ""
) -> TaskOperation:
    """Register the operation of a task, and return it.

    `function`: the object by which a worker finds the operation in a module. `run`: runs the task with the arguments of
    a request. Raises DeclarationError.
    """
    name = operation_name(task_name)
    other = registered.get(name)
    if isinstance(other, TaskOperation) and getattr(other.function, "name", task_name) != task_name:
        raise DeclarationError(f"two tasks have the operation {name!r}: {other.function.name} and {task_name}")  # type: ignore[attr-defined]  # it has one
    queue = limits.queue or "default"

    def call(value: TaskInput, context: Context) -> Any:
        """Run an attempt."""
        request = _request_of(value, context)
        tokens = _context.set(context), _request.set(request), _canvases.set(count(1))
        try:
            with soft_time_limit(limits.soft_time_limit):
                result = run(request)
        finally:
            _context.reset(tokens[0])
            _request.reset(tokens[1])
            _canvases.reset(tokens[2])
        return None if limits.ignore_result else result

    made = TaskOperation(
        name=name,
        function=function,
        options=Options(
            queue=queue,
            queues=tuple(dict.fromkeys((queue, *limits.queues))),
            max_attempts=limits.max_attempts,
            base_seconds=1.0,
            cap_seconds=300.0,
            timeout_seconds=limits.time_limit,
            permanent=(),
            version=1,
            oldest_version=1,
        ),
        description=description.strip().partition("\n\n")[0],
        input_schema=_SCHEMA,
        output_schema={},
        is_async=False,
        parse=_adapter.validate_json,
        call=call,
        dump=None,
        load=json.loads,
    )
    register(made)
    return made


def _request_of(value: TaskInput, context: Context) -> Request:
    args = list(value.get("args", ()))
    if "first" in value:
        args.insert(0, results_of(value["first"], context.parents))
    deadline = context.deadline
    return Request(
        id=context.job_id,
        args=args,
        kwargs=dict(value.get("kwargs", {})),
        retries=context.attempt - 1,
        called_directly=False,
        metadata=context.metadata,
        tags=context.tags,
        expires=deadline.isoformat() if deadline else None,
    )


def results_of(first: First, parents: Mapping[str, Parent]) -> Any:
    """Return the results of the jobs that `first` names, in its shape."""
    if isinstance(first, str):
        return parents[first].result
    return [results_of(part, parents) for part in first]


def backoff_s(
    retries: int, factor: float, longest_s: float, *, jitter: bool, chance: Callable[[], float] = random.random
) -> float:
    """Return the delay of `retry_backoff`: it doubles with each retry; with jitter it is a random part of that."""
    delay = min(longest_s, max(1.0, factor) * 2.0 ** min(retries, 62))
    return delay * chance() if jitter else delay


def report(state: str | None, meta: Any) -> bool:
    """Store a state and its meta-data as the progress of the running attempt."""
    context = _context.get()
    if context is None:
        return False
    text = state or "PROGRESS"
    if meta:
        text += f" {json.dumps(meta, default=str)}"
    return context.progress(_fraction(meta), text)


def _fraction(meta: Any) -> float | None:
    """Return `current` of `total`, as Celery's own examples name them; None: there is no such pair."""
    if not isinstance(meta, Mapping):
        return None
    current, total = meta.get("current", meta.get("done")), meta.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(1.0, max(0.0, current / total))


@contextmanager
def soft_time_limit(seconds: float | None, error: type[Exception] = SoftTimeLimitExceeded) -> Iterator[None]:
    """Raise an error in the block once the time is up. Where signals cannot be handled the block has no limit."""
    if not seconds or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return
    is_over = False

    def expire(_signal: int, _frame: FrameType | None) -> None:
        """Raise the error, unless the block has ended meanwhile."""
        if not is_over:
            raise error(f"the soft time limit of {seconds:g} s is over")

    before = signal.signal(signal.SIGUSR1, expire)
    main = threading.get_ident()
    timer = threading.Timer(seconds, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        is_over = True
        timer.cancel()
        timer.join()  # so that its signal is handled before the former handler is back
        signal.signal(signal.SIGUSR1, before)


def retry_of(
    error: BaseException | None, delay_s: float, retries: int, max_retries: int | None
) -> Retry | BaseException | None:
    """Return the Retry of an attempt, or the error with which its job fails; None: it has none of its own."""
    if max_retries is not None and retries >= max_retries:
        return error
    return Retry(delay_s, str(error) if error is not None and str(error) else "the task asks for a retry")

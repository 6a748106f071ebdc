"""Tasks: functions that are declared as Celery's are, run by workers of jobproc and submitted by `delay`."""

import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, overload

from jobproc.celery.attempts import (
    Limits,
    Request,
    backoff_s,
    declare,
    report,
    request_in_use,
    retry_of,
)
from jobproc.celery.errors import MaxRetriesExceededError, NotMapped, Retry
from jobproc.celery.signatures import Signature
from jobproc.errors import DeclarationError
from jobproc.signature import described

if TYPE_CHECKING:
    from jobproc.celery.results import AsyncResult

P = ParamSpec("P")
R = TypeVar("R")
MAX_DELAY_S = 86_400.0  # of a retry
_OF_JOBPROC = frozenset({"acks_late", "reject_on_worker_lost", "acks_on_failure_or_timeout", "track_started", "throws"})
_OF_JOBPROC |= {"store_errors_even_if_ignored", "trail", "send_events", "resultrepr_maxsize"}
_INSTEAD = {
    "rate_limit": "set the rate of the queue",
    "base": "use process hooks and hooks around attempts",
    "backend": "results are in jobproc",
    "shared": "a task is an operation of each worker that has its module",
}


class Task(Generic[P, R]):
    """A task. Its call runs the function; `delay` and `apply_async` submit a job."""

    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    max_retries: int | None = 3
    default_retry_delay: float = 180
    time_limit: float | None = None
    soft_time_limit: float | None = None
    ignore_result: bool = False
    queue: str | None = None
    queues: tuple[str, ...] = ()
    priority: int | None = None
    expires: Any = None

    def __init__(self, function: Callable[P, R], name: str | None, *, bind: bool, options: Mapping[str, Any]) -> None:
        """Raise DeclarationError or NotMapped, which name the task and the option."""
        self.name = name or f"{function.__module__}.{function.__name__}"
        self.run = function
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self._is_bound = bind
        if inspect.iscoroutinefunction(function):
            raise DeclarationError(f"{described(function)} is `async def`; declare it with @jobproc.operation")
        for option, value in options.items():
            self._set(option, value)
        parameters = list(inspect.signature(function).parameters.values())
        self._parameters = inspect.Signature(parameters[1:] if bind else parameters)
        limits = Limits(
            self.max_retries, self.time_limit, self.soft_time_limit, self.queue, tuple(self.queues), self.ignore_result
        )
        declare(self.name, self, self._attempt, limits, function.__doc__ or "")

    def _set(self, option: str, value: Any) -> None:
        if option == "serializer" and value == "json":
            return
        if option in _OF_JOBPROC:
            return
        if option not in Task.__annotations__:
            instead = _INSTEAD.get(option, "jobproc has no such option")
            raise NotMapped(f"{option} of the task {self.name}: {instead}")
        setattr(self, option, value)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here."""
        return self.run(self, *args, **kwargs) if self._is_bound else self.run(*args, **kwargs)  # type: ignore[arg-type]  # the task itself is its first argument

    def _attempt(self, request: Request) -> Any:
        """Run the function for a job, with `autoretry_for`."""
        try:
            return self(*request.args, **request.kwargs)
        except (Retry, *self.dont_autoretry_for):  # type: ignore[misc]  # mypy does not see that all are exceptions
            raise
        except self.autoretry_for as error:
            options = dict(self.retry_kwargs)
            if self.retry_backoff:
                options["countdown"] = backoff_s(
                    request.retries, float(self.retry_backoff), self.retry_backoff_max, jitter=self.retry_jitter
                )
            self.retry(exc=error, **options)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> "AsyncResult":
        """Submit a job with these arguments."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> "AsyncResult":
        """Submit a job. `options`: countdown, eta, expires, priority, queue, task_id, time_limit, and those of jobproc.

        Raises NotMapped, and TypeError as a call with wrong arguments does.
        """
        self._parameters.bind(*(args or ()), **(kwargs or {}))
        return self.signature(args, kwargs, **options).apply_async()

    def signature(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, *, immutable: bool = False, **options: Any
    ) -> Signature:
        """Return a call of the task that is not submitted yet."""
        defaults = {"priority": self.priority, "expires": self.expires}
        given = {name: value for name, value in (defaults | options).items() if value is not None}
        return Signature(self.name, tuple(args or ()), dict(kwargs or {}), given, immutable=immutable, task=self)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a call that takes the result of the task before it as its first argument."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a call that takes no result of the task before it."""
        return self.signature(args, kwargs, immutable=True)

    def AsyncResult(self, task_id: str) -> "AsyncResult":  # noqa: N802 - as Celery calls it
        """Return a handle of a job."""
        from jobproc.celery.results import AsyncResult

        return AsyncResult(task_id)

    @property
    def request(self) -> Request:
        """The request of the running attempt."""
        return request_in_use()

    def retry(  # noqa: PLR0913, PLR0917 - the parameters of Celery's
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
    ) -> NoReturn:
        """End the attempt; the next one begins after `countdown` seconds, or at `eta`.

        After the last one the job fails with `exc`, or MaxRetriesExceededError. Raises NotMapped for other arguments:
        a job keeps its input; and for a limit above that of the decorator.
        """
        request = request_in_use()
        if args is not None or kwargs is not None or not throw:
            raise NotMapped(f"{self.name}: a retry has the arguments of the job, and ends the attempt")
        if max_retries is not None and self.max_retries is not None and max_retries > self.max_retries:
            raise NotMapped(f"{self.name}: max_retries={max_retries} is more than that of its decorator")
        if request.called_directly:
            raise exc or Retry(0, f"{self.name} was called directly, so it is not retried")
        delay_s = self.default_retry_delay if countdown is None else countdown
        if eta is not None:
            delay_s = (eta if eta.tzinfo else eta.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
        if delay_s > MAX_DELAY_S:
            raise NotMapped(f"{self.name}: a retry after {delay_s:g} s; at most {MAX_DELAY_S:g} s are expected")
        limit = self.max_retries if max_retries is None else max_retries
        error = retry_of(exc, delay_s, request.retries, limit)
        if error is not None and error is exc:
            raise error
        raise error or MaxRetriesExceededError(f"{self.name} has run {request.retries + 1} times") from exc

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None) -> None:
        """Report the progress of the running attempt: `current` and `total` of `meta` are its fraction."""
        if task_id is not None and task_id != request_in_use().id:
            raise NotMapped(f"{self.name}: an attempt reports the progress of its own job alone")
        report(state, meta)

    def __getattr__(self, name: str) -> Any:
        """Say what to use instead of a method of Celery's tasks."""
        if name in _METHODS:
            raise NotMapped(f"{self.name}: a task has no {name}; {_METHODS[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        """Return the name."""
        return f"<Task {self.name}>"


_METHODS = {
    "map": "use a group, or Client.map",
    "starmap": "use a group, or Client.map",
    "chunks": "use a group, or Client.map",
    "replace": "add jobs to the workflow with Context.add_job",
    "add_to_chord": "add jobs to the workflow with Context.add_job",
    "apply": "call it, or use jobproc.testing.run",
    "add_trail": "read the workflow",
    "send_event": "use update_state",
}


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(
    *, name: str | None = None, bind: bool = False, **options: Any
) -> Callable[[Callable[..., R]], Task[..., R]]: ...
def shared_task(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, bind: bool = False, **options: Any
) -> Any:
    """Declare a function as a task: `@shared_task`, or with the options of Celery's decorator.

    The task is an operation of each worker that has an entry point with its module. `queues`: those that a submission
    may name, beside `queue`. Raises DeclarationError or NotMapped, which name the task.
    """

    def declared(function: Callable[..., Any]) -> Task[..., Any]:
        """Return the task of a function."""
        return Task(function, name, bind=bind, options=options)

    return declared if function is None else declared(function)

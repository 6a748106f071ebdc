"""Apps of Celery: their tasks as operations of a worker, and their calls as jobs."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from jobproc.celery.attempts import Limits, Request, declare, report, request_in_use
from jobproc.celery.errors import NotMapped, Retry
from jobproc.celery.options import CELERY_QUEUE
from jobproc.celery.signatures import Signature
from jobproc.celery.tasks import MAX_DELAY_S
from jobproc.errors import DeclarationError, PermanentFailure

if TYPE_CHECKING:
    from jobproc.celery.results import AsyncResult

BUILT_IN = "celery."  # the beginning of the names of Celery's own tasks
REDIS = ("redis", "rediss", "sentinel", "valkey")  # brokers where priority 0 runs first
_DEFAULTS = ("priority", "expires")


class AppTask:
    """A task of an app, by which a worker finds its operation."""

    def __init__(self, task: Any, module: str) -> None:
        self.name = str(task.name)
        self.__module__ = module
        self.__name__ = self.__qualname__ = self.name
        self.__doc__ = task.__doc__
        self._task = task

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, as Celery does."""
        return self._task(*args, **kwargs)

    @cached_property
    def _trace(self) -> Any:
        """Celery's tracer of the task, made for its first attempt."""
        from celery.app.trace import build_tracer

        return build_tracer(self.name, self._task, app=self._task.app, eager=True, propagate=False)

    def attempt(self, request: Request) -> Any:
        """Run the task for a job by Celery's own tracer: with its signals, handlers, retries and limits.

        The tracer runs it as an eager task, so that neither a broker nor a result backend is asked.
        """
        from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
        from celery.exceptions import Retry as CeleryRetry

        from jobproc.celery.attempts import soft_time_limit

        task = self._task
        facts = {
            "id": request.id,
            "root_id": request.id,
            "task": self.name,
            "args": request.args,
            "kwargs": request.kwargs,
            "retries": request.retries,
            "expires": request.expires,
            "is_eager": True,
            "called_directly": False,
            "delivery_info": {"is_eager": True, "routing_key": None, "exchange": None, "priority": None},
            "headers": {"jobproc": dict(request.metadata)},
            "timelimit": [task.time_limit, task.soft_time_limit],
            "ignore_result": task.ignore_result,
        }
        with soft_time_limit(task.soft_time_limit, SoftTimeLimitExceeded):
            ended = self._trace(str(request.id), list(request.args), dict(request.kwargs), facts)
        if ended.info is None:
            return ended.retval
        error = ended.info.retval
        if isinstance(error, CeleryRetry):
            raise _retry(self.name, request, error)
        if isinstance(error, Ignore):
            return None
        if isinstance(error, Reject):
            raise PermanentFailure(f"the task has rejected the job: {error.args[0] if error.args else ''}")
        raise error


def _retry(task: str, request: Request, error: Any) -> Exception:
    """Return the Retry of an attempt that Celery's has ended, or why there is none."""
    if error.sig is not None and (
        list(error.sig.args or ()) != list(request.args) or dict(error.sig.kwargs or {}) != dict(request.kwargs)
    ):
        return NotMapped(f"{task}: a retry has the arguments of the job")
    when = error.when
    if isinstance(when, datetime):
        when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    if (when or 0) > MAX_DELAY_S:
        return NotMapped(f"{task}: a retry after {when:g} s; at most {MAX_DELAY_S:g} s are expected")
    return Retry(when or 0, str(error.exc) if error.exc else str(error))


def register(
    app: Any,
    module: str,
    *names: str,
    queues: Sequence[str] = (),
    queue_names: Mapping[str, str] | None = None,
) -> list[str]:
    """Offer the tasks of an app of Celery as operations, and return their names.

    `module`: `__name__` of the module of the entry point that calls this. `names`: of tasks, with `*`; default: all.
    `queues`: further ones that a submission may name. `queue_names`: queues of Celery that have another name here.
    Raises DeclarationError.
    """
    known = {CELERY_QUEUE: "default", str(app.conf.task_default_queue): "default", **(queue_names or {})}
    offered = []
    for task in tasks_of(app, names):
        queue = queue_of(app, task)
        limits = Limits(
            task.max_retries,
            task.time_limit or app.conf.task_time_limit,
            None,  # the attempt has it, with Celery's own error
            known.get(queue, queue),
            tuple(queues),
            bool(task.ignore_result),
        )
        holder = AppTask(task, module)
        made = declare(task.name, holder, holder.attempt, limits, task.__doc__ or "")
        setattr(sys.modules[module], f"_task_{made.name.replace('.', '_')}", holder)
        _report_progress(task)
        offered.append(made.name)
    if not offered:
        raise DeclarationError(f"the app {app.main!r} has no task {' or '.join(names)}".rstrip())
    return offered


def tasks_of(app: Any, names: Sequence[str] = ()) -> list[Any]:
    """Return the tasks of an app by their names, without Celery's own."""
    app.loader.import_default_modules()
    app.finalize()
    found = [task for name, task in sorted(app.tasks.items()) if not name.startswith(BUILT_IN)]
    return [task for task in found if not names or any(fnmatchcase(task.name, name) for name in names)]


def queue_of(app: Any, task: Any) -> str:
    """Return the queue of a task: its own, that of `task_routes`, or the default one."""
    if queue := getattr(task, "queue", None):
        return str(getattr(queue, "name", queue))
    queue = app.amqp.router.route({}, task.name).get("queue")
    return str(getattr(queue, "name", queue) or app.conf.task_default_queue)


def _report_progress(task: Any) -> None:
    """Let `update_state` report the progress of the running attempt; elsewhere it stays as it is."""
    stored = type(task).update_state

    def update_state(task_id: str | None = None, state: str | None = None, meta: Any = None, **options: Any) -> None:
        """Report the state of the running attempt."""
        running = request_in_use().id
        if running is None or task_id not in (None, running):
            stored(task, task_id, state, meta, **options)
        else:
            report(state, meta)

    task.update_state = update_state


def route(app: Any, *names: str) -> list[str]:
    """Submit the calls of tasks of an app as jobs, from this process on, and return the names of these tasks.

    `names`: of tasks, with `*`. `delay`, `apply_async` and `send_task` of all others go to Celery as before. Priorities
    are read as the app's broker does. Raises DeclarationError if a name is unknown.
    """
    routed = tasks_of(app, names) if names else []
    unknown = [name for name in names if not any(fnmatchcase(task.name, name) for task in routed)]
    if unknown or not names:
        raise DeclarationError(f"the app {app.main!r} has no task {' or '.join(unknown) or 'without a name'}")
    for task in routed:
        task.apply_async = partial(_apply_async, app, task)
    by_name = {task.name: task for task in routed}
    send_task = app.send_task

    def send(name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Submit a call by the name of its task."""
        if name in by_name:
            return _apply_async(app, by_name[name], args, kwargs, **options)
        return send_task(name, args, kwargs, **options)

    app.send_task = send
    return list(by_name)


def _apply_async(app: Any, task: Any, args: Any = None, kwargs: Any = None, **options: Any) -> "AsyncResult":
    """Submit a call of a task as a job; where Celery would run it at once, let it do so."""
    if app.conf.task_always_eager:
        return type(task).apply_async(task, args, kwargs, **options)  # type: ignore[no-any-return]  # Celery's
    given = {name: value for name in _DEFAULTS if (value := getattr(task, name, None)) is not None} | options
    if str(getattr(given.get("queue"), "name", given.get("queue"))) == str(app.conf.task_default_queue):
        del given["queue"]
    if type(given.get("priority")) is int and _is_redis(app):
        given["priority"] = _in_order(given["priority"])
    return Signature(str(task.name), tuple(args or ()), kwargs, given).apply_async()


def _is_redis(app: Any) -> bool:
    """Return True if the app's broker runs priority 0 first."""
    url = app.conf.broker_url
    first = url[0] if isinstance(url, list | tuple) and url else url
    return str(first or "").partition(":")[0] in REDIS


def _in_order(priority: int) -> int:
    """Return a priority of Redis in the order of this process."""
    from jobproc.celery.configuration import zero_is_first
    from jobproc.celery.options import HIGHEST

    return priority if zero_is_first() else HIGHEST - priority

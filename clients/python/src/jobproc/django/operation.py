"""The operation that runs tasks in a worker."""

from collections.abc import Callable
from typing import Any

from django.db import close_old_connections

from jobproc.context import Context
from jobproc.declaration import operation
from jobproc.django.backend import JobprocBackend
from jobproc.django.options import OPERATION
from jobproc.django.results import accepted, task_of
from jobproc.django.tasks_api import TaskContext, TaskResultStatus, normalize_json, task_finished, task_started
from jobproc.errors import PermanentFailure


def register(
    *,
    name: str = OPERATION,
    queues: tuple[str, ...] = ("default",),
    max_attempts: int = 1,
    timeout_seconds: float | None = 300.0,
) -> Callable[..., Any]:
    """Declare the operation, and return its function, which must be a name of the module of your entry point.

    `queues`: those of `TASKS`. `max_attempts`: with 1, as in Django's own backends, a task that raises has failed.
    Call `django.setup()` before. Raises DeclarationError.
    """

    @operation(name=name, queues=queues, max_attempts=max_attempts, timeout_seconds=timeout_seconds)
    def run_task(
        task: str, args: list[Any], kwargs: dict[str, Any], priority: int, run_after: str | None, context: Context
    ) -> Any:
        """Run a task of Django."""
        _ = (priority, run_after)  # for the reader of the result
        return _run(task, args, kwargs, context)

    return run_task


def _run(path: str, args: list[Any], kwargs: dict[str, Any], context: Context) -> Any:
    """Run a task as Django's own backends do: with its signals, and without stale connections of the database."""
    try:
        task = task_of(path)
    except ImportError as error:
        raise PermanentFailure(f"this worker has no task {path!r}: {error}") from error
    result = accepted(task, context.job_id, task.backend, {"args": args, "kwargs": kwargs}, None)
    result.worker_ids.extend([""] * context.attempt)
    object.__setattr__(result, "status", TaskResultStatus.RUNNING)
    task_started.send(JobprocBackend, task_result=result)
    close_old_connections()
    try:
        first = [TaskContext(task_result=result)] if task.takes_context else []
        value = normalize_json(task.call(*first, *args, **kwargs))
    except BaseException:
        object.__setattr__(result, "status", TaskResultStatus.FAILED)
        task_finished.send(JobprocBackend, task_result=result)
        raise
    finally:
        close_old_connections()
    object.__setattr__(result, "status", TaskResultStatus.SUCCESSFUL)
    object.__setattr__(result, "_return_value", value)
    task_finished.send(JobprocBackend, task_result=result)
    return value

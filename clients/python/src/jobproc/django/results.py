"""Results of tasks, made of jobs as the API shows them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.module_loading import import_string

from jobproc.django.tasks_api import Task, TaskError, TaskResult, TaskResultDoesNotExist, TaskResultStatus

_STATUS = {
    "SUCCESS": TaskResultStatus.SUCCESSFUL,
    "FAILED": TaskResultStatus.FAILED,
    "CANCELLED": TaskResultStatus.FAILED,
    "IN_PROGRESS": TaskResultStatus.RUNNING,
}
_OWN_ERROR = "jobproc.errors.JobprocError"  # for ends that no exception of the task has caused, such as a timeout


def task_of(path: str) -> Task:
    """Return the task at a path. Raises ImportError if there is none."""
    task = import_string(path)
    if isinstance(task, Task):
        return task
    raise ImportError(f"{path} is no task")


def accepted(
    task: Task, result_id: str, backend: str, job_input: Mapping[str, Any], enqueued_at: datetime | None
) -> TaskResult:
    """Return the result of a task that waits."""
    return TaskResult(
        task=task,
        id=result_id,
        status=TaskResultStatus.READY,
        enqueued_at=enqueued_at,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=list(job_input["args"]),
        kwargs=dict(job_input["kwargs"]),
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def of_row(row: Mapping[str, Any], backend: str) -> TaskResult:
    """Return the result of a task that is in the outbox yet: it waits, or the API has refused it."""
    body = json.loads(row["body"])
    created_at = datetime.fromtimestamp(row["created_at"], UTC)
    task = _task(body["input"], body["queue"], backend, row["id"])
    result = accepted(task, row["id"], backend, body["input"], created_at)
    if row["refused_at"] is not None:
        _set(result, status=TaskResultStatus.FAILED, finished_at=datetime.fromtimestamp(row["refused_at"], UTC))
        result.errors.append(TaskError(exception_class_path="jobproc.errors.SubmissionError", traceback=row["problem"]))
    return result


def of_job(job: Mapping[str, Any], result_id: str, backend: str) -> TaskResult:
    """Return the result of a task whose job is stored. Raises TaskResultDoesNotExist if its task is gone."""
    job_input = job["input"]
    if job_input is None:  # removed by retention
        raise TaskResultDoesNotExist(result_id)
    task = _task(job_input, job["queue"], backend, result_id)
    result = accepted(task, result_id, backend, job_input, _instant(job["created_at"]))
    attempts = job["attempts"]
    began = [_instant(attempt["started_at"]) for attempt in attempts]
    if job["status"] == "IN_PROGRESS":
        began.append(_instant(job["started_at"]))
    _set(
        result,
        status=_STATUS.get(job["status"], TaskResultStatus.READY),
        started_at=began[0] if began else None,
        last_attempted_at=began[-1] if began else None,
        finished_at=_instant(job["finished_at"]),
    )
    result.worker_ids.extend(str(attempt["worker"]) for attempt in attempts)
    if job["status"] == "IN_PROGRESS":
        result.worker_ids.append(str(job["worker"]))
    result.errors.extend(_error(attempt["error"]) for attempt in attempts if attempt["error"])
    if job["status"] == "FAILED" and not result.errors:
        result.errors.append(_error(job["error"]))
    if job["status"] == "CANCELLED":
        result.errors.append(TaskError(exception_class_path="jobproc.errors.Cancelled", traceback=""))
    if job["status"] == "SUCCESS":
        _set(result, _return_value=job["result"])
    return result


def _task(job_input: Mapping[str, Any], queue: str, backend: str, result_id: str) -> Task:
    """Return a task as it was enqueued. Raises TaskResultDoesNotExist if the code has it no longer."""
    try:
        task = task_of(job_input["task"])
    except ImportError as error:
        raise TaskResultDoesNotExist(result_id) from error
    after = job_input["run_after"]
    run_after = None if after is None else datetime.fromisoformat(after)
    return task.using(priority=job_input["priority"], queue_name=queue, run_after=run_after, backend=backend)


def _error(error: Mapping[str, Any]) -> TaskError:
    """Return the error of an attempt; its type is the path of the exception's class, if a task has raised one."""
    type_ = str(error["type"])
    text = str(error["text"])
    path = type_ if "." in type_ else f"builtins.{type_}" if type_[:1].isupper() else _OWN_ERROR
    return TaskError(exception_class_path=path, traceback=text if path != _OWN_ERROR else f"{type_}: {text}")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _set(result: TaskResult, **values: Any) -> None:
    """Set members of a result, whose class is frozen; Django's own backends do the same."""
    for name, value in values.items():
        object.__setattr__(result, name, value)

"""The backend of `django.tasks`: a task becomes a job, and the job's state and result those of the task."""

import contextlib
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connections
from django.utils import timezone

from jobproc.django.options import BackendOptions
from jobproc.django.results import accepted, of_job, of_row
from jobproc.django.tasks_api import (
    BaseTaskBackend,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    normalize_json,
    task_backends,
    task_enqueued,
)
from jobproc.errors import SubmissionError
from jobproc.outbox import Outbox
from jobproc.outbox.sending import Accepted, HttpSender, Later, Refused
from jobproc.submission import SubmitOptions

TRIES = 3
NOT_FOUND = 404
DEFAULT_PRIORITY = 5
_STEPS_UP, _STEPS_DOWN = 20, 25  # of Django's 100 priorities in each direction, to 4 to 0 and 6 to 9


def priority_of(task: Task) -> int:
    """Return the priority of a task's job: 100 to -100 become 0, first, to 9."""
    number = int(task.priority)
    return DEFAULT_PRIORITY + -number // _STEPS_UP if number > 0 else DEFAULT_PRIORITY - number // _STEPS_DOWN


class JobprocBackend(BaseTaskBackend):  # type: ignore[misc]  # Django has no types
    """Enqueues tasks as jobs of one operation, which `jobproc.django.register` declares in the worker."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        """Raise ImproperlyConfigured for options that are not known."""
        super().__init__(alias, params)
        self.jobproc = BackendOptions.from_settings(alias, self.options)
        self._outbox = Outbox(self.jobproc.table)
        self._local = threading.local()

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """Submit a task, and return its result as it is now. Raises SubmissionError.

        With the option OUTBOX the task is submitted by the transaction of the database: committed, it runs; rolled
        back, it does not. Its id is that of the row of the outbox.
        """
        self.validate_task(task)
        job_input = {
            "task": task.module_path,
            "args": normalize_json(args),
            "kwargs": normalize_json(kwargs),
            "priority": task.priority,
            "run_after": None if task.run_after is None else task.run_after.isoformat(),
        }
        options: SubmitOptions = {"queue": task.queue_name, "priority": priority_of(task)}
        if task.run_after is not None:
            after = task.run_after
            options["run_at"] = after if timezone.is_aware(after) else timezone.make_aware(after)
        if self.jobproc.has_outbox:
            connection = connections[self.jobproc.database]
            result_id = self._outbox.submit(connection, self.jobproc.operation, job_input, **options)
        else:
            result_id = self._submit(job_input, options)
        result = accepted(task, result_id, self.alias, job_input, datetime.now(UTC))
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """Read the state and the result of a task. Raises TaskResultDoesNotExist."""
        with contextlib.suppress(ValueError):
            result_id = str(UUID(str(result_id)))
            if not self.jobproc.has_outbox:
                return self._read(result_id, result_id)
            row = self._row(result_id)
            if row is not None:
                return self._read(row["job_id"], result_id) if row["job_id"] else of_row(row, self.alias)
        raise TaskResultDoesNotExist(str(result_id))

    def _submit(self, job_input: Mapping[str, Any], options: SubmitOptions) -> str:
        body = json.dumps({"operation": self.jobproc.operation, "input": job_input, **options}, default=str)
        key, reason = str(uuid4()), ""
        for _ in range(TRIES):
            match self._sender().send(key, body):
                case Accepted(job_id):
                    return job_id
                case Refused(problem):
                    raise SubmissionError(f"the task was refused: {problem}")
                case Later() as later:
                    reason = later.reason
                    if later.retry_after_s:
                        break
        raise SubmissionError(f"the task was not submitted, or it is unknown if it was: {reason}")

    def _sender(self) -> HttpSender:
        if not hasattr(self._local, "sender"):
            options = self.jobproc
            self._local.sender = HttpSender(options.url, options.api_key, options.timeout_s, options.ca_file)
        sender: HttpSender = self._local.sender
        return sender

    def _row(self, row_id: str) -> dict[str, Any] | None:
        """Return a row of the outbox; None: there is none."""
        names = ("id", "body", "created_at", "job_id", "refused_at", "problem")
        with connections[self.jobproc.database].cursor() as cursor:
            row = self._outbox.read(cursor, names, row_id)
        return None if row is None else dict(zip(names, row, strict=True))

    def _read(self, job_id: str, result_id: str) -> TaskResult:
        job = self._get(f"/jobs/{job_id}")
        if job["operation"] != self.jobproc.operation:
            raise TaskResultDoesNotExist(result_id)
        for name in ("input", "result"):
            if job[f"{name}_omitted"]:
                job[name] = self._get(f"/jobs/{job_id}/{name}")
        if job.get("result_omitted"):
            job["result"] = job["result"]["result"]
        return of_job(job, result_id, self.alias)

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.jobproc.url + path)  # noqa: S310 - the option is a URL of HTTP
        if self.jobproc.api_key:  # unredirected: another host must not get it
            request.add_unredirected_header("Authorization", f"Bearer {self.jobproc.api_key}")
        try:
            with urllib.request.urlopen(request, timeout=self.jobproc.timeout_s) as response:  # noqa: S310 - likewise
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == NOT_FOUND:
                    raise TaskResultDoesNotExist(path.rpartition("/")[2]) from error
                raise


def backends() -> Iterator[JobprocBackend]:
    """Yield the backends of this kind that the settings have."""
    for backend in task_backends.all():
        if isinstance(backend, JobprocBackend):
            yield backend

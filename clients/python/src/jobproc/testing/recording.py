"""The Context of an attempt in a test: answers from the options, and records what the operation does with it."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from typing_extensions import Unpack

from jobproc.adding import AddOptions, JobsToAdd
from jobproc.errors import Cancelled, SubmissionError
from jobproc.operations import Operation, registered
from jobproc.parents import Parent
from jobproc.submission import SubmitOptions, WorkflowOptions, json_of
from jobproc.testing.outcomes import LogLine, Progress, SubmittedJob, SubmittedWorkflow
from jobproc.testing.workflows import reasons_against

MAX_ADDED_JOBS = 10_000  # the default of JOBPROC_MAX_ADDED_JOBS
MAX_TEXT_CHARACTERS = 200  # of the text that goes with a progress report, as in a worker


class RecordingContext:
    """The Context of one attempt; see jobproc.Context."""

    def __init__(self, operation: Operation, job_id: str, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.deadline: datetime | None = None
        self.tags: tuple[str, ...] = ()
        self.metadata: Mapping[str, Any] = {}
        self.parents: Mapping[str, Parent] = {}
        self.logger = logging.getLogger(f"jobproc.operation.{operation.name}")
        self.checks_before_cancel: int | None = None  #: None: nobody cancels the job
        self.on_cancel: Callable[[], object] = lambda: None  #: called once, when the job is cancelled
        self.is_cancel_requested = False
        self.reported: list[Progress] = []
        self.logged: list[LogLine] = []
        self.submitted: list[SubmittedJob] = []
        self.workflows: list[SubmittedWorkflow] = []
        self._calls = 0  # of `submit` and `submit_workflow`
        self.to_add = JobsToAdd()

    def request_cancel(self) -> None:
        """Cancel the job, as a client may do at any time."""
        if not self.is_cancel_requested:
            self.is_cancel_requested = True
            self.on_cancel()

    @property
    def cancelled(self) -> bool:
        """True once the job is cancelled. Counts as a check."""
        if self.checks_before_cancel is not None:
            self.checks_before_cancel -= 1
            if self.checks_before_cancel < 0:
                self.request_cancel()
        return self.is_cancel_requested

    def check(self) -> None:
        """Raise jobproc.Cancelled once the job is cancelled."""
        if self.cancelled:
            raise Cancelled

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Record a report. Returns False once the job is cancelled."""
        if self.cancelled:
            return False
        bounded = None if fraction is None else min(1.0, max(0.0, float(fraction)))
        self.reported.append(Progress(bounded, None if text is None else str(text)[:MAX_TEXT_CHARACTERS]))
        return True

    def submit(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Record a further job, and return an id. Raises SubmissionError.

        The input is validated if the operation is declared in this process.
        """
        key = options.get("idempotency_key", self._next_key())
        for job in self.submitted:
            if job.options["idempotency_key"] == key:
                return job.job_id
        name = f"the job for {operation!r}"
        given = "{}" if job_input is None else json_of(job_input, name)
        _validate(operation, given, f"{name} was not submitted")
        kept = json_of({**options, "idempotency_key": key}, name)
        self.submitted.append(SubmittedJob(str(uuid4()), operation, json.loads(given), json.loads(kept)))
        return self.submitted[-1].job_id

    async def submit_async(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Record a further job as `submit` does."""
        return self.submit(operation, job_input, **options)

    def submit_workflow(self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]) -> str:
        """Record a workflow, and return an id. Raises SubmissionError.

        The names and the parents of the jobs are checked, and their inputs as those of `submit`.
        """
        key = options.get("idempotency_key", self._next_key())
        for workflow in self.workflows:
            if workflow.options["idempotency_key"] == key:
                return workflow.workflow_id
        name = f"the workflow of {len(jobs)} jobs"
        given, kept = json_of(jobs, name), json_of({**options, "idempotency_key": key}, name)
        recorded = SubmittedWorkflow(str(uuid4()), json.loads(given), json.loads(kept))
        for reason in reasons_against(recorded.jobs):
            raise SubmissionError(f"{name} was not submitted: {reason}")
        for position, job in enumerate(recorded.jobs):
            if "input" in job or "data" not in job:
                text = json.dumps(job.get("input", {}))
                _validate(job["operation"], text, f"{name} was not submitted: jobs.{position}.input")
        self.workflows.append(recorded)
        return recorded.workflow_id

    async def submit_workflow_async(
        self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]
    ) -> str:
        """Record a workflow as `submit_workflow` does."""
        return self.submit_workflow(jobs, **options)

    def _next_key(self) -> str:
        self._calls += 1
        return f"{self.job_id}.{self._calls}"

    def add_job(self, operation: str, job_input: object = None, /, **options: Unpack[AddOptions]) -> str:
        """Record a job that is added to the workflow, and return its name. Raises SubmissionError.

        The input is validated if the operation is declared in this process.
        """
        name = self.to_add.add(operation, job_input, options, MAX_ADDED_JOBS)
        _validate(operation, self.to_add[-1].input, f"the job {name!r} for {operation!r} was not added")
        return name


def _validate(operation: str, job_input: str, failed: str) -> None:
    """Check the JSON text of an input if this process has declared the operation. Raises SubmissionError."""
    if (declared := registered.get(operation)) is not None:
        try:
            declared.parse(job_input)
        except ValidationError as error:
            raise SubmissionError(f"{failed}: {error}") from error


@contextmanager
def recorded_logs(lines: list[LogLine]) -> Iterator[None]:
    """Record all that is logged from INFO on, by the operation and by others."""
    root, handler = logging.getLogger(), _Recorder(lines)
    level = root.level
    root.setLevel(min(level, logging.INFO) or level)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class _Recorder(logging.Handler):
    def __init__(self, lines: list[LogLine]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(LogLine(record.levelname, record.name, record.getMessage()))
        except Exception:  # noqa: BLE001 - arguments that do not fit the message, as everywhere in logging
            self.handleError(record)

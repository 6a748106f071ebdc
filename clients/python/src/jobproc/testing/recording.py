"""The Context of an attempt in a test: answers from the options, and records what the operation does with it."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
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
from jobproc.submission import SubmitOptions, json_of
from jobproc.testing.outcomes import LogLine, Progress, SubmittedJob

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
        key = options.get("idempotency_key", f"{self.job_id}.{len(self.submitted) + 1}")
        for job in self.submitted:
            if job.options["idempotency_key"] == key:
                return job.job_id
        name = f"the job for {operation!r}"
        given = "{}" if job_input is None else json_of(job_input, name)
        if (declared := registered.get(operation)) is not None:
            try:
                declared.parse(given)
            except ValidationError as error:
                raise SubmissionError(f"{name} was not submitted: {error}") from error
        kept = json_of({**options, "idempotency_key": key}, name)
        self.submitted.append(SubmittedJob(str(uuid4()), operation, json.loads(given), json.loads(kept)))
        return self.submitted[-1].job_id

    async def submit_async(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Record a further job as `submit` does."""
        return self.submit(operation, job_input, **options)

    def add_job(self, operation: str, job_input: object = None, /, **options: Unpack[AddOptions]) -> str:
        """Record a job that is added to the workflow, and return its name. Raises SubmissionError.

        The input is validated if the operation is declared in this process.
        """
        name = self.to_add.add(operation, job_input, options, MAX_ADDED_JOBS)
        if (declared := registered.get(operation)) is not None:
            try:
                declared.parse(self.to_add[-1].input)
            except ValidationError as error:
                raise SubmissionError(f"the job {name!r} for {operation!r} was not added: {error}") from error
        return name


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

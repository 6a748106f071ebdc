"""The Context of a running operation: facts of its job, progress reports, the request to stop, further jobs."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, Unpack, cast

from common.domain.job import PARENTS, ClaimedJob, ClaimExtras
from common.settings import Settings
from common.store.dependencies.parents import ParentOutcome
from jobproc import Cancelled, Parent, ParentResultsTooLarge, RetryAfter, SubmissionError, SubmitOptions
from jobproc.adding import AddOptions, JobsToAdd
from jobproc.parents import ParentStatus
from jobproc.submission import Submitter, WorkflowOptions
from worker.execution.attempt import printable
from worker.workflows.added_jobs import added_job

MAX_TEXT_CHARACTERS = 200  # of the text that goes with a progress report
NO_EXTRAS = ClaimExtras()


class Reporter(Protocol):
    """The attempt's link to its worker: the WorkerSession of the process, or the AsyncAttempt in the event loop."""

    @property
    def is_cancel_requested(self) -> bool:
        """True if a client has cancelled the job."""

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store the progress. Returns False once the job is another worker's."""

    def read_parents(self, job_id: str) -> list[ParentOutcome] | None:
        """Return what the parents of the job came to. None: the database is unavailable."""


class JobContext:
    """The Context of one attempt; see jobproc.Context. Reports are stored at a limited rate."""

    # Slots, because an object is made for each job.
    __slots__ = (
        "_is_owned",
        "_job",
        "_next_report_s",
        "_parents",
        "_reporter",
        "_settings",
        "_submitter",
        "_to_add",
        "storing",
    )

    def __init__(self, job: ClaimedJob, reporter: Reporter, settings: Settings) -> None:
        self._job = job
        self._reporter = reporter
        self._settings = settings
        self._next_report_s = 0.0
        self._is_owned = True
        self._submitter: Submitter | None = None
        self._to_add: JobsToAdd | None = None
        self._parents: Mapping[str, Parent] | None = None  # None: not read yet
        self.storing = False  #: True while the connection is in use: the alarm of a long batch must wait

    @property
    def job(self) -> ClaimedJob:
        """The claimed job, for built-in operations."""
        return self._job

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self._job.id

    @property
    def attempt(self) -> int:
        """The number of the attempt, 1 for the first."""
        return self._job.attempt

    @property
    def deadline(self) -> datetime | None:
        """The time by which the job must have ended. None: it has no deadline."""
        text = self._extras.deadline
        return None if text is None else datetime.fromisoformat(text)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the submission."""
        return tuple(self._extras.tags or ())

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the submission. Empty if it has none."""
        return self._extras.metadata or {}

    @property
    def parents(self) -> Mapping[str, Parent]:
        """The jobs for which the job has waited, by name. Raises ParentResultsTooLarge, or RetryAfter in an outage."""
        if self._parents is None:
            links = self._job.links
            self._parents = {} if links is None or PARENTS not in links.flags else self._read_parents()
        return self._parents

    def add_job(self, operation: str, job_input: object = None, /, **options: Unpack[AddOptions]) -> str:
        """Add a job to the workflow, and return its name. Raises SubmissionError."""
        if self._job.links is None:
            raise SubmissionError(f"a job for {operation!r} was not added: the running job is in no workflow")
        if self._to_add is None:
            self._to_add, self._job.added = JobsToAdd(), []
        assert self._job.added is not None  # noqa: S101 - set together
        name = self._to_add.add(operation, job_input, options, self._settings.max_added_jobs)
        self._job.added.append(added_job(self._to_add[-1]))
        return name

    def _read_parents(self) -> Mapping[str, Parent]:
        self.storing = True
        try:
            outcomes = self._reporter.read_parents(self.job_id)
        finally:
            self.storing = False
        if outcomes is None:
            raise RetryAfter(1, "the database was unavailable as the results of the parents were to be read")
        if any(outcome.is_cut for outcome in outcomes):
            most = self._settings.max_parent_results_bytes
            raise ParentResultsTooLarge(f"the results of {len(outcomes)} parents have more than {most} bytes together")
        return MappingProxyType(
            {
                outcome.node: Parent(
                    outcome.node,
                    outcome.job_id,
                    outcome.operation,
                    cast("ParentStatus", outcome.status),
                    outcome.result,
                )
                for outcome in outcomes
            }
        )

    @property
    def logger(self) -> logging.Logger:
        """The logger of the operation."""
        return logging.getLogger(f"jobproc.operation.{self._job.operation}")

    @property
    def cancelled(self) -> bool:
        """True if the job was cancelled."""
        return self._reporter.is_cancel_requested

    def check(self) -> None:
        """Raise Cancelled once the job was cancelled."""
        if self.cancelled:
            raise Cancelled

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Report progress. Returns False once the job was cancelled or is another worker's."""
        if not self._is_owned or self.cancelled:
            return False
        now = time.monotonic()
        if now < self._next_report_s:
            return True
        self._next_report_s = now + self._settings.progress_min_interval_seconds
        bounded = None if fraction is None else min(1.0, max(0.0, float(fraction)))
        shown = None if text is None else printable(str(text), MAX_TEXT_CHARACTERS)
        self.storing = True
        try:
            self._is_owned = self._reporter.report_progress(self.job_id, self.attempt, bounded, shown)
        finally:
            self.storing = False
        return self._is_owned

    def submit(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Submit a further job by the API, and return its id. Raises SubmissionError."""
        submitter = self._open_submitter()
        return submitter.submit(operation, job_input, submitter.next_key(), options)

    async def submit_async(self, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]) -> str:
        """Submit a further job without blocking the event loop. Raises SubmissionError."""
        submitter = self._open_submitter()
        key = submitter.next_key()  # in the order of the calls, not in that of the threads
        return await asyncio.to_thread(partial(submitter.submit, operation, job_input, key, options))

    def submit_workflow(self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]) -> str:
        """Submit a workflow by the API, and return its id. Raises SubmissionError."""
        submitter = self._open_submitter()
        return submitter.submit_workflow(jobs, submitter.next_key(), options)

    async def submit_workflow_async(
        self, jobs: Sequence[Mapping[str, Any]], /, **options: Unpack[WorkflowOptions]
    ) -> str:
        """Submit a workflow without blocking the event loop. Raises SubmissionError."""
        submitter = self._open_submitter()
        key = submitter.next_key()
        return await asyncio.to_thread(partial(submitter.submit_workflow, jobs, key, options))

    def _open_submitter(self) -> Submitter:
        if self._submitter is None:
            url = self._settings.api_url
            if not url:
                raise SubmissionError(
                    "a job was not submitted: the worker does not know the API; set JOBPROC_API_URL, such as "
                    "http://127.0.0.1:8000"
                )
            self._submitter = Submitter(
                url,
                self._settings.api_timeout_seconds,
                self._job.id,
                api_key=self._settings.api_key,
                ca_file=self._settings.api_ca_file,
            )
        return self._submitter

    @property
    def _extras(self) -> ClaimExtras:
        return self._job.extras or NO_EXTRAS

"""Views of responses: jobs. Made by `make generate`."""

from __future__ import annotations

from typing import Any

from jobproc.client.views.shared import BackoffView, ErrorView, SelfLink, State, WebhookView
from jobproc.client.views.view import View


class AttemptView(View):
    """An attempt that has ended."""

    run: int
    attempt: int
    worker: int | None
    started_at: str
    finished_at: str
    retry_at: str | None
    outcome: str
    error: FailureView | None
    took: UsageView


class CancelView(View):
    """The outcome of a request to cancel a job."""

    job_id: str
    status: State
    cancel_requested: bool


class EndedJobView(View):
    """The result of a job that has ended."""

    job_id: str
    status: State
    result: Any
    error: ErrorView | None
    attempt: int
    result_omitted: bool


class ErrorGroupLinks(View):
    """Links to the jobs of an error group, as paths."""

    jobs: str


class ErrorGroupView(View):
    """The failed jobs of an operation with the same error type, and the same error text but for ids and numbers."""

    error_group: str
    operation: str
    type: str
    normalised_text: str
    count: int
    first_at: str
    last_at: str
    counts: list[int]
    sample_text: str
    sample: list[str]
    links: ErrorGroupLinks


class ErrorList(View):
    """The largest error groups among the newest failures of a tenant."""

    errors: list[ErrorGroupView]
    groups_total: int
    failed: int
    scanned: int
    is_complete: bool
    since: str | None
    until: str


class FailureView(View):
    """The error of a job or of an attempt, with its traceback."""

    type: str
    text: str
    traceback: str | None


class InputView(View):
    """The input with which a run of a job began."""

    job_id: str
    run: int
    input: Any
    input_removed: bool


class JobLinks(View):
    """Links to a job and to the requests about it, as paths."""

    self: str
    status: str
    result: str
    input: str
    cancel: str
    retry: str
    events: str
    logs: str
    explain: str


class JobList(View):
    """A page of jobs."""

    jobs: list[JobSummaryView]
    next: str | None
    scanned: int
    estimated_total: int | None


class JobSummaryView(View):
    """A job in a list."""

    job_id: str
    status: State
    operation: str
    queue: str
    priority: int
    tags: list[str]
    created_at: str
    due_at: str | None
    started_at: str | None
    finished_at: str | None
    attempt: int
    max_attempts: int
    error: ErrorView | None
    links: SelfLink


class JobView(View):
    """A job with its attempts and its history."""

    job_id: str
    status: State
    operation: str
    version: int
    queue: str
    priority: int
    input: Any
    input_removed: bool
    input_omitted: bool
    tags: list[str]
    metadata: dict[str, Any] | None
    concurrency_key: str | None
    submitted_by: str | None
    trace_id: str | None
    created_at: str
    run_at: str | None
    due_at: str | None
    started_at: str | None
    finished_at: str | None
    deadline: str | None
    run: int
    attempt: int
    max_attempts: int
    timeout_seconds: float | None
    backoff: BackoffView | None
    keep_seconds: int | None
    unique: UniqueView | None
    webhook: WebhookView | None
    worker: int | None
    cancel_requested: bool
    progress: ProgressView | None
    result: Any
    result_omitted: bool
    error: FailureView | None
    attempts: list[AttemptView]
    runs: list[RunView]
    timeline: list[StateView]
    links: JobLinks


class ManyResultsView(View):
    """The results of the jobs of a request that have ended."""

    ended: list[EndedJobView]
    unfinished: int
    not_found: list[str]


class ProgressView(View):
    """The progress that the running attempt has reported."""

    fraction: float | None
    text: str | None


class ResultView(View):
    """The result of a job."""

    job_id: str
    status: State
    result: Any
    error: ErrorView | None


class RetryView(View):
    """A manual retry: the job runs once more, with all its attempts."""

    job_id: str
    status: State
    run: int


class RunLinks(View):
    """Links to the parts of a run, as paths."""

    input: str


class RunView(View):
    """A run after the first one."""

    run: int
    at: str
    input: Any
    input_omitted: bool
    undo: bool
    links: RunLinks


class StateView(View):
    """A change of the job's state."""

    at: str
    status: State
    run: int
    attempt: int | None
    worker: int | None
    error: ErrorView | None


class StatusView(View):
    """The state of a job."""

    status: State
    progress: ProgressView | None


class SubmittedJob(View):
    """A job that has ended while the client waited, or that existed before."""

    job_id: str
    status: State
    result: Any
    error: ErrorView | None


class UniqueView(View):
    """The unique key of a job."""

    key: str


class UsageView(View):
    """The resources that an attempt used."""

    execution_seconds: float | None
    overhead_seconds: float | None
    cpu_seconds: float | None
    peak_memory_mebibytes: float | None


class ValidSubmission(View):
    """The job that a submission would store."""

    operation: str
    version: int
    queue: str
    priority: int
    max_attempts: int
    timeout_seconds: float | None
    status: State

"""Calls about jobs."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack

from typing_extensions import TypedDict

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.errors import JobCancelled, JobFailed, WaitTimeout
from jobproc.client.views.explanations import Explanation, JobLogView
from jobproc.client.views.jobs import (
    CancelView,
    ErrorList,
    JobList,
    JobView,
    ResultView,
    RetryView,
    StatusView,
    SubmittedJob,
    ValidSubmission,
)
from jobproc.client.views.shared import State
from jobproc.client.views.view import view

LONG_POLL_S = 30.0  # of one request; a longer wait takes several
TERMINAL: frozenset[State] = frozenset({"SUCCESS", "FAILED", "CANCELLED"})
OMITTED: Any = object()  # no input, as `None` is the input null


class JobFilter(TypedDict, total=False):
    """The jobs of a list, or of a bulk action: those that match all of it."""

    status: State | list[State]
    operation: str
    queue: str
    tag: str
    batch: str  #: id of a batch or a workflow
    id_suffix: str  #: the end of the id
    created_after: datetime | str
    created_before: datetime | str
    finished_after: datetime | str
    finished_before: datetime | str
    error: str  #: a part of the type or the text of the error
    error_group: str  #: the id of an error group, from `errors`
    input: list[str]  #: values in the input, such as `order.id=7`
    metadata: list[str]  #: values in the metadata, likewise


class JobListOptions(JobFilter, total=False):
    """The filter and the order of a list of jobs."""

    sort: str  #: `-created`, `created`, `-finished` or `finished`


def new_key() -> str:
    """Return an idempotency key."""
    return uuid.uuid4().hex


def submission(operation: str, job_input: object, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a submission, without its idempotency key."""
    body = {"operation": operation, **{name: value for name, value in options.items() if name != "idempotency_key"}}
    if job_input is not OMITTED:
        body["input"] = job_input
    return body


def submit(operation: str, job_input: object, options: Mapping[str, Any], wait_s: float = 0.0) -> Request[SubmittedJob]:
    """Submit a job. With `wait_s` the response comes with the end of the job, or when the time is up."""
    key = str(options.get("idempotency_key") or new_key())
    return post("/jobs/", view(SubmittedJob), submission(operation, job_input, options), key=key, wait_s=wait_s)


def validate(operation: str, job_input: object, options: Mapping[str, Any]) -> Request[ValidSubmission]:
    """Validate a job without submitting it; return what would be stored."""
    body = submission(operation, job_input, options)
    return post("/jobs/validate", view(ValidSubmission), body, repeatable=True)


def job(job_id: str) -> Request[JobView]:
    """Retrieve a job with its options, attempts and history."""
    return get(f"/jobs/{segment(job_id)}", view(JobView))


def status(job_id: str) -> Request[StatusView]:
    """Retrieve the state of a job and the progress of its running attempt."""
    return get(f"/jobs/{segment(job_id)}/status", view(StatusView))


def outcome(job_id: str, wait_s: float = 0.0) -> Request[ResultView]:
    """Retrieve the state of a job with its result or its error, once it has ended or the time is up."""
    return get(f"/jobs/{segment(job_id)}/result", view(ResultView), wait_s)


def job_input(job_id: str, run: int | None = None) -> Request[Any]:
    """Retrieve the input of a job, or of one of its runs."""
    return get(f"/jobs/{segment(job_id)}/input", lambda response: response.json()["input"], run=run)


def cancel(job_id: str) -> Request[CancelView]:
    """Cancel a job: a waiting one ends, a running one is asked to stop."""
    return post(f"/jobs/{segment(job_id)}/cancel", view(CancelView), repeatable=True)


def retry(job_id: str, new_input: object = OMITTED) -> Request[RetryView]:
    """Run a job that is FAILED or CANCELLED once more, with its last input or a new one."""
    body = None if new_input is OMITTED else {"input": new_input}
    return post(f"/jobs/{segment(job_id)}/retry", view(RetryView), body)


def why(job_id: str) -> Request[Explanation]:
    """Explain why a job does not run, and when it may start."""
    return get(f"/jobs/{segment(job_id)}/explain", view(Explanation))


def log_page(
    job_id: str, run: int | None = None, attempt: int | None = None, limit: int = 1_000
) -> Request[JobLogView]:
    """Retrieve a page of the log of a job."""
    return get(f"/jobs/{segment(job_id)}/logs", view(JobLogView), run=run, attempt=attempt, limit=limit)


def logs(job_id: str, run: int | None = None, attempt: int | None = None) -> Flow[None]:
    """Read the log of a job, line by line."""
    return all_pages(log_page(job_id, run, attempt), lambda page: page.lines)


def page(limit: int | None = None, cursor: str | None = None, **options: Unpack[JobListOptions]) -> Request[JobList]:
    """List a page of jobs, newest first."""
    return get("/jobs/", view(JobList), limit=limit, cursor=cursor, **options)


class ErrorFilter(TypedDict, total=False):
    """The failures that are grouped: those that match all of it."""

    operation: str
    queue: str
    finished_after: datetime | str
    finished_before: datetime | str


def errors(limit: int | None = None, **filter_: Unpack[ErrorFilter]) -> Request[ErrorList]:
    """List the error groups of the newest failures, the largest first, at most `limit`."""
    return get("/errors", view(ErrorList), limit=limit, **filter_)


def jobs(most: int | None = None, **options: Unpack[JobListOptions]) -> Flow[None]:
    """List jobs, newest first: all that match, or at most `most`."""
    return all_pages(page(limit=200 if most is None else min(200, most), **options), lambda view: view.jobs, most)


def result(job_id: str, timeout_s: float | None, clock_s: Any, first: Mapping[str, Any] | None = None) -> Flow[Any]:
    """Wait for the end of a job, and return its result.

    `first`: what is known of the job. Raises JobFailed, JobCancelled, or WaitTimeout.
    """
    ends_at = None if timeout_s is None else clock_s() + timeout_s
    known: Mapping[str, Any] = first or {"status": "PENDING"}
    while known["status"] not in TERMINAL:
        left = LONG_POLL_S if ends_at is None else ends_at - clock_s()
        known = yield outcome(job_id, max(0.0, min(left, LONG_POLL_S)))
        if known["status"] not in TERMINAL and ends_at is not None and clock_s() >= ends_at:
            raise WaitTimeout(f"job {job_id}", timeout_s or 0.0)
    if known["status"] == "SUCCESS":
        return known["result"]
    if known["status"] == "CANCELLED":
        raise JobCancelled(job_id)
    error = known.get("error") or {}
    attempt = known["attempt"] if "attempt" in known else (yield job(job_id)).attempt
    raise JobFailed(job_id, error.get("type", ""), error.get("text", ""), attempt)

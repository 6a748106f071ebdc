"""Calls about batches."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobproc.client.calls.jobs import LONG_POLL_S, new_key
from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Query, Request, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.errors import WaitTimeout
from jobproc.client.progress_bar import ProgressBar
from jobproc.client.views.batches import BatchList, BatchView
from jobproc.client.views.shared import BatchAccepted
from jobproc.client.views.view import view

PROGRESS_S = 1.0  # between two counts of a bar of progress
Submissions = Sequence[Mapping[str, Any]]


def submit(
    jobs: Submissions, options: Mapping[str, Any] | None = None, key: str | None = None
) -> Request[BatchAccepted]:
    """Submit a closed batch, all jobs or none."""
    body = {"jobs": jobs, **options} if options else jobs
    return post("/jobs/batch", view(BatchAccepted), body, key=key or new_key())


def create(options: Mapping[str, Any] | None = None) -> Request[BatchView]:
    """Create an open batch, to which jobs may be added. `options`: follow_up, webhook."""
    return post("/batches", view(BatchView), options or {})


def add(batch_id: str, jobs: Submissions, key: str | None = None) -> Request[BatchAccepted]:
    """Add jobs to an open batch, all or none."""
    return post(f"/batches/{segment(batch_id)}/jobs", view(BatchAccepted), jobs, key=key or new_key())


def close(batch_id: str) -> Request[BatchView]:
    """Close a batch: it ends when all of its jobs have ended."""
    return post(f"/batches/{segment(batch_id)}/close", view(BatchView), repeatable=True)


def cancel(batch_id: str) -> Request[BatchView]:
    """Close a batch and cancel its jobs."""
    return post(f"/batches/{segment(batch_id)}/cancel", view(BatchView), repeatable=True)


def batch(batch_id: str, wait_s: float = 0.0) -> Request[BatchView]:
    """Retrieve a batch with the counts of its jobs, once it has ended or the time is up."""
    return get(f"/batches/{segment(batch_id)}", view(BatchView), wait_s)


def page(
    status: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[BatchList]:
    """List a page of batches, newest first."""
    named: Query = {"status": status, "created_after": created_after, "created_before": created_before}
    return get("/batches", view(BatchList), limit=limit, cursor=cursor, **named)


def batches(
    status: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    most: int | None = None,
) -> Flow[None]:
    """List batches, newest first: all that match, or at most `most`."""
    return all_pages(page(status, created_after, created_before), lambda view: view.batches, most)


def wait(
    batch_id: str, timeout_s: float | None, clock_s: Callable[[], float], bar: ProgressBar | None = None
) -> Flow[BatchView]:
    """Wait for the end of a batch. Raises WaitTimeout."""
    ends_at = None if timeout_s is None else clock_s() + timeout_s
    most_s = PROGRESS_S if bar else LONG_POLL_S
    while True:
        left = most_s if ends_at is None else ends_at - clock_s()
        found: BatchView = yield batch(batch_id, max(0.0, min(left, most_s)))
        if bar:
            bar.total = found.jobs
            bar.update(found.jobs, found.jobs - found.counts.unfinished)
        if found.status == "ENDED":
            if bar:
                bar.end()
            return found
        if ends_at is not None and clock_s() >= ends_at:
            raise WaitTimeout(f"batch {batch_id}", timeout_s or 0.0)

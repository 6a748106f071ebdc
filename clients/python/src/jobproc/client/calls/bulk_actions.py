"""Calls about bulk actions."""

from collections.abc import Callable, Mapping
from typing import Any

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, get, post, segment
from jobproc.client.connection.steps import Flow, Pause
from jobproc.client.errors import WaitTimeout
from jobproc.client.views.bulk_actions import BulkActionList, BulkActionOutcomes, BulkActionView
from jobproc.client.views.view import view

RESTING = frozenset({"STOPPED", "DONE", "UNDONE", "EXPIRED"})
POLL_S = 0.5  # the API has no long poll of bulk actions


def preview(action: str, filter_: Mapping[str, Any], options: Mapping[str, Any]) -> Request[BulkActionView]:
    """Preview an action on all jobs that match a filter. `options`: all, priority, jobs_per_second."""
    given = {name: value for name, value in options.items() if value is not None}
    return post("/bulk-actions", view(BulkActionView), {"action": action, "filter": filter_, **given})


def bulk_action(bulk_action_id: str) -> Request[BulkActionView]:
    """Retrieve a bulk action with its progress."""
    return get(f"/bulk-actions/{segment(bulk_action_id)}", view(BulkActionView))


def page(limit: int | None = None, cursor: str | None = None) -> Request[BulkActionList]:
    """List a page of bulk actions, newest first."""
    return get("/bulk-actions", view(BulkActionList), limit=limit, cursor=cursor)


def bulk_actions(most: int | None = None) -> Flow[None]:
    """List bulk actions, newest first."""
    return all_pages(page(), lambda view: view.bulk_actions, most)


def outcomes(bulk_action_id: str) -> Request[BulkActionOutcomes]:
    """Retrieve the states of the jobs that a bulk action has changed, and what an undo would do now."""
    return get(f"/bulk-actions/{segment(bulk_action_id)}/outcomes", view(BulkActionOutcomes))


def start(bulk_action_id: str, count: int | None = None, first: int | None = None) -> Request[BulkActionView]:
    """Start a bulk action, or go on with a stopped one.

    `count`: that of the preview, where it must be confirmed. `first`: it stops once it has changed so many jobs in all.
    """
    body = {name: value for name, value in (("count", count), ("first", first)) if value is not None}
    return post(f"/bulk-actions/{segment(bulk_action_id)}/start", view(BulkActionView), body, repeatable=True)


def stop(bulk_action_id: str) -> Request[BulkActionView]:
    """Stop a bulk action; no further job is changed."""
    return post(f"/bulk-actions/{segment(bulk_action_id)}/stop", view(BulkActionView), repeatable=True)


def undo(bulk_action_id: str) -> Request[BulkActionView]:
    """Take a bulk action back, as far as its jobs have not moved on."""
    return post(f"/bulk-actions/{segment(bulk_action_id)}/undo", view(BulkActionView), repeatable=True)


def wait(bulk_action_id: str, timeout_s: float | None, clock_s: Callable[[], float]) -> Flow[BulkActionView]:
    """Wait until a bulk action, or its undo, is done or stopped. Raises WaitTimeout."""
    ends_at = None if timeout_s is None else clock_s() + timeout_s
    while True:
        found: BulkActionView = yield bulk_action(bulk_action_id)
        if found.phase in RESTING:
            return found
        if ends_at is not None and clock_s() >= ends_at:
            raise WaitTimeout(f"bulk action {bulk_action_id}", timeout_s or 0.0)
        yield Pause(POLL_S)

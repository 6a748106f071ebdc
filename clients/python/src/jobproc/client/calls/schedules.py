"""Calls about schedules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack

from typing_extensions import TypedDict

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, change, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.views.schedules import FireList, ScheduleList, ScheduleView
from jobproc.client.views.shared import JobAccepted
from jobproc.client.views.view import nothing, view


class ScheduleOptions(TypedDict, total=False):
    """The members of a schedule: one of `cron`, `every_seconds` and `at`, and others."""

    cron: str | None
    every_seconds: float | None
    at: datetime | str | None
    time_zone: str
    starts_at: datetime | str | None
    ends_at: datetime | str | None
    jitter_seconds: float
    overlap: str
    catch_up: Mapping[str, Any]
    paused: bool


class ScheduleChanges(ScheduleOptions, total=False):
    """The members of a schedule that are changed."""

    name: str
    job: Mapping[str, Any]


def create(name: str, job: Mapping[str, Any], **options: Unpack[ScheduleOptions]) -> Request[ScheduleView]:
    """Create a schedule. `job`: the submission of each instant, with `operation` and `input`."""
    return post("/schedules", view(ScheduleView), {"name": name, "job": job, **options})


def page(
    operation: str | None = None,
    managed: bool | None = None,
    paused: bool | None = None,
    ended: bool | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Request[ScheduleList]:
    """List a page of schedules."""
    filters: dict[str, Any] = {"operation": operation, "managed": managed, "paused": paused, "ended": ended}
    return get("/schedules", view(ScheduleList), limit=limit, after=after, **filters)


def schedules(
    operation: str | None = None,
    managed: bool | None = None,
    paused: bool | None = None,
    ended: bool | None = None,
    most: int | None = None,
) -> Flow[None]:
    """List schedules."""
    return all_pages(page(operation, managed, paused, ended), lambda view: view.schedules, most)


def schedule(schedule_id: str) -> Request[ScheduleView]:
    """Retrieve a schedule with its next instants."""
    return get(f"/schedules/{segment(schedule_id)}", view(ScheduleView))


def alter(schedule_id: str, if_match: str | None = None, **changes: Unpack[ScheduleChanges]) -> Request[ScheduleView]:
    """Change a schedule. `if_match`: the `etag` of a view, so that no other change is overwritten."""
    return change("PATCH", f"/schedules/{segment(schedule_id)}", view(ScheduleView), changes, if_match)


def delete(schedule_id: str, if_match: str | None = None) -> Request[None]:
    """Delete a schedule; its jobs stay."""
    return change("DELETE", f"/schedules/{segment(schedule_id)}", nothing, None, if_match)


def pause(schedule_id: str) -> Request[ScheduleView]:
    """Pause a schedule: its instants do not fire."""
    return post(f"/schedules/{segment(schedule_id)}/pause", view(ScheduleView), repeatable=True)


def resume(schedule_id: str) -> Request[ScheduleView]:
    """Let a paused schedule fire again."""
    return post(f"/schedules/{segment(schedule_id)}/resume", view(ScheduleView), repeatable=True)


def run(schedule_id: str) -> Request[JobAccepted]:
    """Submit a job of a schedule now, beside its instants."""
    return post(f"/schedules/{segment(schedule_id)}/run", view(JobAccepted))


def fires(schedule_id: str, most: int | None = None) -> Flow[None]:
    """List the outcomes of the instants of a schedule, newest first."""
    return all_pages(get(f"/schedules/{segment(schedule_id)}/fires", view(FireList)), lambda view: view.fires, most)

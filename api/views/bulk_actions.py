"""Bulk actions: request bodies, validated, and response bodies."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.new_ids import new_job_id_now
from api.schemas import EXAMPLE_ID, SelfLink
from api.views.cursors import MAX_CURSOR_CHARACTERS
from api.views.filters import FieldErrors, JobFilters
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import MAX_ERRORS, field_problem, validated
from common.domain.bulk_actions import STATES_CHANGED_BY, ActionKind, ActionRequest, Phase, SkipReason, progress
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.settings import Settings
from common.store.bulk_actions.lifecycle import NewBulkAction
from common.store.listing.index_scan import Record

PATH = "/bulk-actions"


class BulkActionFilter(JobFilters):
    """The jobs to act on, with the filters of GET /jobs. Default `status`: every state that the action can change."""

    model_config = ConfigDict(extra="forbid")


class BulkActionBody(BaseModel):
    """A bulk action: a change, and the jobs to apply it to."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"action": "cancel", "filter": {"tag": "nightly"}, "jobs_per_second": 200}]},
    )

    action: ActionKind = Field(
        description="`cancel` unfinished jobs, `retry` `FAILED` and `CANCELLED` jobs, or `reprioritise` waiting jobs."
    )
    filter: BulkActionFilter
    all: Annotated[bool, Field(strict=True)] = Field(
        False, description="True to act on every job that the action can change. Needs an empty filter."
    )
    priority: Annotated[int, Field(strict=True, ge=0, le=9)] | None = Field(
        None, description="The new priority, 0 (first) to 9. Required with `reprioritise`, refused otherwise."
    )
    jobs_per_second: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None,
        description="The rate limit, at most JOBPROC_BULK_ACTION_MAX_JOBS_PER_SECOND. "
        "Default: JOBPROC_BULK_ACTION_JOBS_PER_SECOND.",
    )


class BulkActionStartBody(BaseModel):
    """The confirmation of a start."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"count": 1_204}]})

    count: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] | None = Field(
        None,
        description="The `count` of the preview. Required for the first start of a bulk action on all jobs. "
        "With another count the start is refused.",
    )


class BulkActionListQuery(BaseModel):
    """The parameters of GET /bulk-actions."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None,
        description="The number of bulk actions on a page, at most JOBPROC_LIST_PAGE_JOBS. Default: 50.",
        examples=[200],
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="The position of the page, from `next` of the previous page."
    )


class SampleJobView(BaseModel):
    """A job that matched the filter of a bulk action."""

    job_id: UUID
    status: State
    operation: str


class BulkActionLinks(SelfLink):
    """Links to a bulk action and to the requests about it, as paths."""

    start: str
    stop: str
    undo: str


class BulkActionView(BaseModel):
    """A bulk action and its progress."""

    bulk_action_id: UUID = Field(description="The id of the bulk action, a UUIDv7.", examples=[EXAMPLE_ID])
    action: ActionKind
    phase: Phase
    filter: JobFilters = Field(description="The filter, with the states that it stands for.")
    priority: int | None = Field(description="The new priority. Null if the action does not change it.")
    jobs_per_second: int = Field(description="The rate limit.", examples=[100])
    as_of: datetime = Field(description="The time of the preview. Jobs submitted later are not changed.")
    count: int = Field(description="The number of jobs that matched at the time of the preview.", examples=[1_204])
    count_is_exact: bool = Field(description="False if `count` is an estimate.")
    sample: list[SampleJobView] = Field(description="The oldest jobs that matched, at most 10, as they were then.")
    matched: int = Field(description="The number of matching jobs processed so far.")
    done: int = Field(description="The number of these that were changed.")
    cancels_requested: int = Field(
        description="The number of changed jobs that were running; their cancellation was requested."
    )
    skipped: dict[SkipReason, int] = Field(description="The number of matching jobs left as they were, by reason.")
    undone: int = Field(description="The number of changes that were undone.")
    not_undone: dict[SkipReason, int] = Field(description="The number of changes that could not be undone, by reason.")
    progress: float = Field(
        description="The share of the jobs processed in this phase, 0 to 1; `UNDOING` counts from 0 again.",
        examples=[0.42],
    )
    created_at: datetime
    started_at: datetime | None = Field(description="When the action was first started.")
    changed_at: datetime = Field(description="When the action entered its phase.")
    error: str | None = Field(description="The error that stopped the action. Null if there was none.")
    links: BulkActionLinks


class BulkActionList(BaseModel):
    """A page of bulk actions, newest first."""

    bulk_actions: list[BulkActionView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


def parse_bulk_action(value: Any, settings: Settings) -> NewBulkAction:
    """Return the bulk action of a parsed body, with a new id.

    Raises ProblemError, which names the field and its rule.
    """
    _check_size(value)
    body = validated(BulkActionBody, value)
    errors = _contradictions(body, settings)
    if errors:
        raise field_problem(INVALID_BODY, errors, len(errors))
    search = body.filter.to_search()
    statuses = STATES_CHANGED_BY[body.action] & (search.statuses or STATES_CHANGED_BY[body.action])
    bulk_action_id = new_job_id_now()
    return NewBulkAction(
        bulk_action_id,
        body.action,
        replace(search, statuses=statuses),
        body.priority,
        body.jobs_per_second or settings.bulk_action_jobs_per_second,
    )


def parse_start(value: Any) -> int | None:
    """Return the count in the parsed body of a start. Raises ProblemError, which names the field and its rule."""
    _check_size(value)
    return validated(BulkActionStartBody, value).count


def _check_size(value: Any) -> None:
    for name, part in (("", value), ("filter", value.get("filter"))) if isinstance(value, dict) else ():
        if isinstance(part, dict) and len(part) > MAX_ERRORS:  # each field would add an error
            raise field_problem(INVALID_BODY, [(name, "has more fields than the schema defines")], 1)


def bulk_action_body(row: Record, root: str = "") -> bytes:
    """Return the response body for the row of a bulk action: a BulkActionView. Its links begin with `root`."""
    return orjson.dumps(_view(row, root), option=orjson.OPT_UTC_Z)


def bulk_action_list_body(rows: Sequence[Record], next_path: str | None, root: str = "") -> bytes:
    """Return the response body for a page of bulk actions: a BulkActionList. Links begin with `root`."""
    views = [_view(row, root) for row in rows]
    return orjson.dumps({"bulk_actions": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def _view(row: Record, root: str) -> dict[str, Any]:
    path = f"{root}{PATH}/{row['id']}"
    search, phase, not_undone = JobSearch.from_json(row["filter"]), Phase(row["phase"]), orjson.loads(row["not_undone"])
    filters = {name: getattr(search, name) for name in JobFilters.model_fields if name != "status"}
    undone = row["undone"] + sum(not_undone.values())
    return {
        "bulk_action_id": str(row["id"]),
        "action": row["kind"],
        "phase": phase,
        "filter": {"status": sorted(search.statuses)} | filters,
        "priority": row["priority"],
        "jobs_per_second": row["jobs_per_second"],
        "as_of": row["as_of"],
        "count": row["count"],
        "count_is_exact": row["count_is_exact"],
        "sample": orjson.Fragment(row["sample"]),
        "matched": row["matched"],
        "done": row["done"],
        "cancels_requested": row["cancels_requested"],
        "skipped": orjson.Fragment(row["skipped"]),
        "undone": row["undone"],
        "not_undone": not_undone,
        "progress": round(progress(phase, row["count"], row["matched"], row["done"], undone), 4),
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "changed_at": row["changed_at"],
        "error": row["error"],
        "links": {"self": path} | {str(verb): f"{path}/{verb}" for verb in ActionRequest},
    }


def _contradictions(body: BulkActionBody, settings: Settings) -> FieldErrors:
    errors = [(f"filter.{name}", reason) for name, reason in body.filter.contradictions()]
    acts_on, is_empty = STATES_CHANGED_BY[body.action], not body.filter.model_dump(exclude_defaults=True)
    states = ", ".join(sorted(acts_on))
    if set(body.filter.status) - acts_on:
        errors.append(("filter.status", f"{body.action} acts on jobs that are {states}; use only these, or no status"))
    elif not errors and body.filter.to_search().statuses and not body.filter.to_search().statuses & acts_on:
        errors.append(("filter", f"matches only finished jobs, but {body.action} acts on jobs that are {states}"))
    if is_empty and not body.all:
        errors.append(("filter", 'is empty; add "all": true to act on every job'))
    elif body.all and not is_empty:
        errors.append(("all", "cannot be combined with a filter that is not empty"))
    if (body.action is ActionKind.REPRIORITISE) is (body.priority is None):
        errors.append(("priority", "is required with reprioritise, and allowed only with it"))
    if body.jobs_per_second is not None and body.jobs_per_second > settings.bulk_action_max_jobs_per_second:
        errors.append(("jobs_per_second", f"is more than {settings.bulk_action_max_jobs_per_second} jobs a second"))
    return errors

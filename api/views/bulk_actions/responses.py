"""The responses of bulk actions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from api.schemas import EXAMPLE_ID, SelfLink
from api.views.filters import JobFilters
from common.domain.bulk_actions import ActionKind, ActionRequest, Phase, SkipReason, StopReason, progress, stop_reason
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.store.bulk_actions.outcomes import ChangedJobs
from common.store.listing.index_scan import Record

PATH = "/bulk-actions"
# Of the cancel of a batch, which has no preview.
_NO_PREVIEW = '{"newest":[],"random":[],"would_skip":{},"would_skip_is_exact":false}'


class SampleJobView(BaseModel):
    """A job that matched the filter of a bulk action."""

    job_id: UUID
    status: State
    operation: str


class BulkActionLinks(SelfLink):
    """Links to a bulk action and to the requests about it, as paths."""

    outcomes: str
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
    sample_newest: list[SampleJobView] = Field(
        description="The newest jobs that matched, at most 10. Fewer or none if few of the newest jobs match."
    )
    sample_random: list[SampleJobView] = Field(
        description="Jobs that matched, at most 10, at random; if `count` is an estimate, among the scanned ones."
    )
    would_skip: dict[SkipReason, int] = Field(
        description="The number of matching jobs that would have been left as they were, by reason, as far as the "
        "preview has checked: a retry is checked for its input and its unique key with the 1,000 oldest jobs."
    )
    would_skip_is_exact: bool = Field(description="False if the preview has not checked all matching jobs.")
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
    created_by: str | None = Field(
        description="The subject that asked for the preview: `key:` and the id of an API key, or `user:` and the "
        "subject of a token. Null if callers are not authenticated, or if a request about a batch made the action."
    )
    started_at: datetime | None = Field(description="When the action was first started.")
    started_by: str | None = Field(description="The subject that first started the action.")
    changed_at: datetime = Field(description="When the action entered its phase.")
    first: int | None = Field(
        description="The number of changed jobs at which the action stops by itself, from its last start. Null: none."
    )
    stop_reason: StopReason | None = Field(
        description="Why the action is `STOPPED`: it has changed `first` jobs, a client requested it, or an `error`."
    )
    error: str | None = Field(description="The error that stopped the action. Null if there was none.")
    links: BulkActionLinks


class BulkActionList(BaseModel):
    """A page of bulk actions, newest first."""

    bulk_actions: list[BulkActionView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


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
    preview = orjson.loads(row["preview"] or _NO_PREVIEW)
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
        "sample_newest": preview["newest"],
        "sample_random": preview["random"],
        "would_skip": preview["would_skip"],
        "would_skip_is_exact": preview["would_skip_is_exact"],
        "matched": row["matched"],
        "done": row["done"],
        "cancels_requested": row["cancels_requested"],
        "skipped": orjson.Fragment(row["skipped"]),
        "undone": row["undone"],
        "not_undone": not_undone,
        "progress": round(progress(phase, row["count"], row["matched"], row["done"], undone), 4),
        "created_at": row["created_at"],
        "created_by": row["created_by"],
        "started_at": row["started_at"],
        "started_by": row["started_by"],
        "changed_at": row["changed_at"],
        "first": row["first"],
        "stop_reason": stop_reason(phase, first=row["first"], done=row["done"], error=row["error"]),
        "error": row["error"],
        "links": {"self": path, "outcomes": f"{path}/outcomes"}
        | {str(verb): f"{path}/{verb}" for verb in ActionRequest},
    }


class BulkActionOutcomes(BaseModel):
    """The states of the jobs that a bulk action has changed, and what an undo would do now."""

    bulk_action_id: UUID = Field(description="The id of the bulk action.", examples=[EXAMPLE_ID])
    changed: int = Field(description="The number of changed jobs that an undo has not processed.", examples=[1_204])
    counted: int = Field(
        description="The number of these that the other members count: the oldest ones, at most JOBPROC_LIST_SCAN_JOBS."
    )
    is_complete: bool = Field(description="True if all changed jobs are counted.")
    states: dict[State, int] = Field(description="The number of counted jobs in each state, as it is now.")
    undoable: int = Field(description="The number of counted jobs whose change an undo would revert now.")
    not_undoable: dict[SkipReason, int] = Field(
        description="The number of counted jobs whose change an undo would leave now, by reason."
    )


def outcomes_body(bulk_action_id: UUID, jobs: ChangedJobs) -> bytes:
    """Return the response body for the outcomes of an action: a BulkActionOutcomes."""
    return orjson.dumps(
        {
            "bulk_action_id": str(bulk_action_id),
            "changed": jobs.changed,
            "counted": jobs.counted,
            "is_complete": jobs.is_complete,
            "states": jobs.states,
            "undoable": jobs.undoable,
            "not_undoable": jobs.not_undoable,
        }
    )

"""What clients ask of all jobs that match a filter, checked, and actions as they go over the wire."""

import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.schemas import EXAMPLE_ID, SelfLink
from api.views.cursors import MAX_CURSOR_CHARACTERS
from api.views.filters import FieldErrors, JobFilters
from api.web.problems import INVALID_BODY, MAX_ERRORS, field_problem, validation_problem
from common.domain.bulk_actions import ACTS_ON, ActionKind, Phase, SkipReason, Verb, progress
from common.domain.job import new_job_id
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.settings import Settings
from common.store.bulk_actions.lifecycle import NewBulkAction
from common.store.listing.index_scan import Record

PATH = "/actions"


class BulkActionFilter(JobFilters):
    """Which jobs: those that fit all of these, with the names and meanings of GET /jobs. Without a status: all in which the action can do something."""

    model_config = ConfigDict(extra="forbid")


class BulkActionBody(BaseModel):
    """What is to be done, and to which jobs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"action": "cancel", "filter": {"tag": "nightly"}, "rate": 200}]})

    action: ActionKind = Field(description="`cancel` jobs that are not finished, `retry` what FAILED or was CANCELLED, `reprioritise` what waits.")
    filter: BulkActionFilter
    all: Annotated[bool, Field(strict=True)] = Field(False, description="With an empty filter, which acts on every job that the action can act on.")
    priority: Annotated[int, Field(strict=True, ge=0, le=9)] | None = Field(None, description="That the jobs get; with `reprioritise`, and only with it.")
    rate: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="Most jobs in a second, at most JOBPROC_ACTION_MAX_JOBS_PER_SECOND; without it JOBPROC_ACTION_JOBS_PER_SECOND."
    )


class BulkActionListQuery(BaseModel):
    """The parameters of GET /actions."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None, description="Most actions on a page: 50 without it, at most JOBPROC_LIST_PAGE_JOBS.", examples=[200]
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="Where to go on: from `next` of the page before."
    )


class SampleJobView(BaseModel):
    """A job that matched."""

    job_id: UUID
    status: State
    operation: str


class BulkActionLinks(SelfLink):
    """Where an action is, and what may be asked of it."""

    start: str
    stop: str
    undo: str


class BulkActionView(BaseModel):
    """An action, and how far it is."""

    action_id: UUID = Field(description="The action's id, a UUIDv7.", examples=[EXAMPLE_ID])
    action: ActionKind
    phase: Phase
    filter: JobFilters = Field(description="With the states that it stands for.")
    priority: int | None = Field(description="That jobs get; null where they keep theirs.")
    rate: int = Field(description="Most jobs in a second.", examples=[100])
    as_of: datetime = Field(description="Jobs that came later are not touched.")
    count: int = Field(description="Jobs that matched then.", examples=[1_204])
    count_is_exact: bool = Field(description="All of `count` were counted; false: it is an estimate.")
    sample: list[SampleJobView] = Field(description="The oldest of them, at most 10, as they were then.")
    matched: int = Field(description="Jobs that have had their turn.")
    done: int = Field(description="Of these, that were changed.")
    asked_to_stop: int = Field(description="Of what was done by `cancel`: jobs that ran and were asked to stop.")
    skipped: dict[SkipReason, int] = Field(description="By reason, how many that matched were left as they are.")
    undone: int = Field(description="Of what was done, how many were taken back.")
    not_undone: dict[SkipReason, int] = Field(description="By reason, how many could not be.")
    progress: float = Field(description="Share, 0 to 1, of what is under way that has been gone through.", examples=[0.42])
    created_at: datetime
    started_at: datetime | None = Field(description="When it was first.")
    changed_at: datetime = Field(description="When it came to its phase.")
    error: str | None = Field(description="What stopped it; null: nothing, or a client.")
    links: BulkActionLinks


class BulkActionList(BaseModel):
    """A page of actions, newest first."""

    actions: list[BulkActionView]
    next: str | None = Field(description="The path of the next page; null on the last one.")


def parse_bulk_action(value: Any, settings: Settings) -> NewBulkAction:
    """Return the action that a body asks for. Raises ProblemError, which names the field and says what is expected."""
    for name, part in (("", value), ("filter", value.get("filter"))) if isinstance(value, dict) else ():
        if isinstance(part, dict) and len(part) > MAX_ERRORS:  # each would have its own error
            raise field_problem(INVALID_BODY, [(name, "has more fields than there are")], 1)
    try:
        asked = BulkActionBody.model_validate(value)
    except ValidationError as error:
        raise validation_problem(error) from error
    wrong = _contradictions(asked, settings)
    if wrong:
        raise field_problem(INVALID_BODY, wrong, len(wrong))
    search = asked.filter.to_search()
    statuses = ACTS_ON[asked.action] & (search.statuses or ACTS_ON[asked.action])
    action_id = new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
    return NewBulkAction(action_id, asked.action, replace(search, statuses=statuses), asked.priority, asked.rate or settings.action_jobs_per_second)


def bulk_action_view(row: Record) -> BulkActionView:
    """Return what clients are told of an action."""
    at = f"{PATH}/{row['id']}"
    search, phase, skipped = JobSearch.from_json(row["filter"]), Phase(row["phase"]), row["skipped"]
    filters = {name: getattr(search, name) for name in JobFilters.model_fields if name != "status"}
    undone = row["undone"] + sum(row["not_undone"].values())
    return BulkActionView(
        action_id=row["id"], action=row["kind"], phase=phase, filter=JobFilters(status=sorted(search.statuses)).model_copy(update=filters),
        priority=row["priority"], rate=row["rate"], as_of=row["as_of"], count=row["count"], count_is_exact=row["exact"], sample=row["sample"],
        matched=row["matched"], done=row["done"], asked_to_stop=row["asked"], skipped=skipped, undone=row["undone"], not_undone=row["not_undone"],
        progress=round(progress(phase, row["count"], row["matched"], row["done"], undone), 4),
        created_at=row["created_at"], started_at=row["started_at"], changed_at=row["changed_at"], error=row["error"],
        links=BulkActionLinks(self=at, **{verb: f"{at}/{verb}" for verb in Verb}),
    )  # fmt: skip


def _contradictions(asked: BulkActionBody, settings: Settings) -> FieldErrors:
    wrong = [(f"filter.{name}", reason) for name, reason in asked.filter.contradictions()]
    acts_on, empty = ACTS_ON[asked.action], not asked.filter.model_dump(exclude_defaults=True)
    states = ", ".join(sorted(acts_on))
    if set(asked.filter.status) - acts_on:
        wrong.append(("filter.status", f"{asked.action} acts on jobs that are {states}: these alone are expected, or none"))
    elif not wrong and asked.filter.to_search().statuses and not asked.filter.to_search().statuses & acts_on:
        wrong.append(("filter", f"only finished jobs fit, and {asked.action} acts on jobs that are {states}"))
    if empty and not asked.all:
        wrong.append(("filter", 'is empty; "all": true beside it acts on every job'))
    elif asked.all and not empty:
        wrong.append(("all", "the filter is not empty; one of them is expected"))
    if (asked.action is ActionKind.REPRIORITISE) is (asked.priority is None):
        wrong.append(("priority", "is expected with reprioritise, and only with it"))
    if asked.rate is not None and asked.rate > settings.action_max_jobs_per_second:
        wrong.append(("rate", f"is more than {settings.action_max_jobs_per_second} jobs a second"))
    return wrong

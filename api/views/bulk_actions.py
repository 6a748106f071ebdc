"""What clients ask of all jobs that match a filter, checked, and actions as they go over the wire."""

import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.schemas import EXAMPLE_ID, SelfLink
from api.views.cursors import MOST_CHARACTERS
from api.views.filters import Filters, Wrong
from api.web.problems import INVALID, MOST_ERRORS, invalid, named
from common.domain.bulk_actions import ACTS_ON, Kind, Phase, Reason, Verb, progress
from common.domain.job import new_job_id
from common.domain.job_search import Search
from common.domain.states import State
from common.settings import Settings
from common.store.bulk_actions.lifecycle import NewAction
from common.store.listing.index_scan import Record

PATH = "/actions"


class ActionFilter(Filters):
    """Which jobs: those that fit all of these, with the names and meanings of GET /jobs. Without a status: all in which the action can do something."""

    model_config = ConfigDict(extra="forbid")


class NewActionBody(BaseModel):
    """What is to be done, and to which jobs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"action": "cancel", "filter": {"tag": "nightly"}, "rate": 200}]})

    action: Kind = Field(description="`cancel` jobs that are not finished, `retry` what FAILED or was CANCELLED, `reprioritise` what waits.")
    filter: ActionFilter
    all: Annotated[bool, Field(strict=True)] = Field(False, description="With an empty filter, which acts on every job that the action can act on.")
    priority: Annotated[int, Field(strict=True, ge=0, le=9)] | None = Field(None, description="That the jobs get; with `reprioritise`, and only with it.")
    rate: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="Most jobs in a second, at most JOBPROC_ACTION_MAX_JOBS_PER_SECOND; without it JOBPROC_ACTION_JOBS_PER_SECOND."
    )


class ActionsQuery(BaseModel):
    """The parameters of GET /actions."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None, description="Most actions on a page: 50 without it, at most JOBPROC_LIST_PAGE_JOBS.", examples=[200]
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)] | None = Field(None, description="Where to go on: from `next` of the page before.")


class Sampled(BaseModel):
    """A job that matched."""

    job_id: UUID
    status: State
    operation: str


class ActionLinks(SelfLink):
    """Where an action is, and what may be asked of it."""

    start: str
    stop: str
    undo: str


class ActionView(BaseModel):
    """An action, and how far it is."""

    action_id: UUID = Field(description="The action's id, a UUIDv7.", examples=[EXAMPLE_ID])
    action: Kind
    phase: Phase
    filter: Filters = Field(description="With the states that it stands for.")
    priority: int | None = Field(description="That jobs get; null where they keep theirs.")
    rate: int = Field(description="Most jobs in a second.", examples=[100])
    as_of: datetime = Field(description="Jobs that came later are not touched.")
    count: int = Field(description="Jobs that matched then.", examples=[1_204])
    count_is_exact: bool = Field(description="All of `count` were counted; false: it is an estimate.")
    sample: list[Sampled] = Field(description="The oldest of them, at most 10, as they were then.")
    matched: int = Field(description="Jobs that have had their turn.")
    done: int = Field(description="Of these, that were changed.")
    asked_to_stop: int = Field(description="Of what was done by `cancel`: jobs that ran and were asked to stop.")
    skipped: dict[Reason, int] = Field(description="By reason, how many that matched were left as they are.")
    undone: int = Field(description="Of what was done, how many were taken back.")
    not_undone: dict[Reason, int] = Field(description="By reason, how many could not be.")
    progress: float = Field(description="Share, 0 to 1, of what is under way that has been gone through.", examples=[0.42])
    created_at: datetime
    started_at: datetime | None = Field(description="When it was first.")
    changed_at: datetime = Field(description="When it came to its phase.")
    error: str | None = Field(description="What stopped it; null: nothing, or a client.")
    links: ActionLinks


class ActionList(BaseModel):
    """A page of actions, newest first."""

    actions: list[ActionView]
    next: str | None = Field(description="The path of the next page; null on the last one.")


def new_action(value: Any, settings: Settings) -> NewAction:
    """Return the action that a body asks for. Raises ProblemError, which names the field and says what is expected."""
    for name, part in (("", value), ("filter", value.get("filter"))) if isinstance(value, dict) else ():
        if isinstance(part, dict) and len(part) > MOST_ERRORS:  # each would have its own error
            raise named(INVALID, [(name, "has more fields than there are")], 1)
    try:
        asked = NewActionBody.model_validate(value)
    except ValidationError as error:
        raise invalid(error) from error
    wrong = _contradictions(asked, settings)
    if wrong:
        raise named(INVALID, wrong, len(wrong))
    search = asked.filter.search()
    statuses = ACTS_ON[asked.action] & (search.statuses or ACTS_ON[asked.action])
    action_id = new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
    return NewAction(action_id, asked.action, replace(search, statuses=statuses), asked.priority, asked.rate or settings.action_jobs_per_second)


def view(row: Record) -> ActionView:
    """Return what clients are told of an action."""
    at = f"{PATH}/{row['id']}"
    search, phase, skipped = Search.of_text(row["filter"]), Phase(row["phase"]), row["skipped"]
    filters = {name: getattr(search, name) for name in Filters.model_fields if name != "status"}
    undone = row["undone"] + sum(row["not_undone"].values())
    return ActionView(
        action_id=row["id"], action=row["kind"], phase=phase, filter=Filters(status=sorted(search.statuses)).model_copy(update=filters),
        priority=row["priority"], rate=row["rate"], as_of=row["as_of"], count=row["count"], count_is_exact=row["exact"], sample=row["sample"],
        matched=row["matched"], done=row["done"], asked_to_stop=row["asked"], skipped=skipped, undone=row["undone"], not_undone=row["not_undone"],
        progress=round(progress(phase, row["count"], row["matched"], row["done"], undone), 4),
        created_at=row["created_at"], started_at=row["started_at"], changed_at=row["changed_at"], error=row["error"],
        links=ActionLinks(self=at, **{verb: f"{at}/{verb}" for verb in Verb}),
    )  # fmt: skip


def _contradictions(asked: NewActionBody, settings: Settings) -> Wrong:
    wrong = [(f"filter.{name}", reason) for name, reason in asked.filter.contradictions()]
    acts_on, empty = ACTS_ON[asked.action], not asked.filter.model_dump(exclude_defaults=True)
    states = ", ".join(sorted(acts_on))
    if set(asked.filter.status) - acts_on:
        wrong.append(("filter.status", f"{asked.action} acts on jobs that are {states}: these alone are expected, or none"))
    elif not wrong and asked.filter.search().statuses and not asked.filter.search().statuses & acts_on:
        wrong.append(("filter", f"only finished jobs fit, and {asked.action} acts on jobs that are {states}"))
    if empty and not asked.all:
        wrong.append(("filter", 'is empty; "all": true beside it acts on every job'))
    elif asked.all and not empty:
        wrong.append(("all", "the filter is not empty; one of them is expected"))
    if (asked.action is Kind.REPRIORITISE) is (asked.priority is None):
        wrong.append(("priority", "is expected with reprioritise, and only with it"))
    if asked.rate is not None and asked.rate > settings.action_max_jobs_per_second:
        wrong.append(("rate", f"is more than {settings.action_max_jobs_per_second} jobs a second"))
    return wrong

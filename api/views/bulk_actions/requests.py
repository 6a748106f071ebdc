"""The request bodies and parameters of bulk actions."""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.new_ids import new_job_id_now
from api.views.cursors import MAX_CURSOR_CHARACTERS
from api.views.filters import FieldErrors, JobFilters
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import MAX_ERRORS, field_problem, validated
from common.domain.bulk_actions import STATES_CHANGED_BY, ActionKind, StartRequest
from common.settings import Settings
from common.store.bulk_actions.lifecycle import NewBulkAction


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

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"count": 1_204}, {"first": 10}]})

    count: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] | None = Field(
        None,
        description="The `count` of the preview. Required for the first start of a bulk action on all jobs. "
        "With another count the start is refused.",
    )
    first: Annotated[int, Field(strict=True, ge=1, lt=1 << 63)] | None = Field(
        None,
        description="The number of changed jobs, `done`, at which the bulk action stops by itself. Another start "
        "resumes it, up to its own `first` or to the end. Default: it goes on to the end.",
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


def parse_bulk_action(value: Any, settings: Settings, created_by: str | None = None) -> NewBulkAction:
    """Return the bulk action of a parsed body, with a new id. `created_by`: the subject of the caller, if it has one.

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
        created_by,
    )


def parse_start(value: Any, subject: str | None = None) -> StartRequest:
    """Return the start that a parsed body asks for. Raises ProblemError, which names the field and its rule."""
    _check_size(value)
    body = validated(BulkActionStartBody, value)
    return StartRequest(body.count, body.first, subject)


def _check_size(value: Any) -> None:
    for name, part in (("", value), ("filter", value.get("filter"))) if isinstance(value, dict) else ():
        if isinstance(part, dict) and len(part) > MAX_ERRORS:  # each field would add an error
            raise field_problem(INVALID_BODY, [(name, "has more fields than the schema defines")], 1)


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

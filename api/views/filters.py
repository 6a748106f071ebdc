"""Filters on jobs: the same names and meanings in GET /jobs and in bulk actions."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from api.schemas import EXAMPLE_ID
from api.web.stored_text import StoredText
from api.web.timestamps import Timestamp
from common.domain.job import QUEUE_PATTERN
from common.domain.job_search import JobSearch, Order
from common.domain.states import TERMINAL, State

FieldErrors = list[tuple[str, str]]  # invalid fields, and the rule that each breaks


MAX_STATUSES = 20  # each invalid status adds an error to the response


def split_list(value: object) -> object:
    """Return the items of a parameter that is repeated, or has several items separated by commas."""
    if not isinstance(value, list):
        return value
    parts: list[object] = []
    for item in value[: MAX_STATUSES + 1]:
        parts += item.split(",", MAX_STATUSES) if isinstance(item, str) else [item]
    if len(parts) > MAX_STATUSES:
        raise ValueError(f"at most {MAX_STATUSES} are allowed")
    return parts


MAX_CONTENTS, MAX_CONTENT_CHARACTERS = 5, 300  # values of an input or metadata that one search compares
_PATH_VALUE = r"^[^=\x00]+=[^\x00]*$"
EXAMPLE_TIME = "2026-01-01T00:00:00+00:00"


class JobFilters(BaseModel):
    """Filters on jobs. A job matches if it satisfies all of them."""

    status: Annotated[list[State], BeforeValidator(split_list)] = Field(
        [],
        description="The states of the jobs. Separate several with commas, or repeat the parameter.",
        examples=[["FAILED", "CANCELLED"]],
    )
    operation: Annotated[StoredText, Field(min_length=1, max_length=64)] | None = Field(
        None, description="The name of the operation.", examples=["square_sum"]
    )
    queue: Annotated[str, Field(pattern=f"^{QUEUE_PATTERN}$")] | None = Field(
        None, description="The name of the queue.", examples=["default"]
    )
    tag: Annotated[StoredText, Field(min_length=1, max_length=64)] | None = Field(
        None, description="A tag of the job.", examples=["nightly"]
    )
    batch: UUID | None = Field(None, description="The id of the batch of the job.", examples=[EXAMPLE_ID])
    id_suffix: Annotated[str, Field(pattern="^[0-9A-Fa-f-]{4,36}$")] | None = Field(
        None,
        description="The end of the job's id, of at least four characters. No index has it: each page looks at so many "
        "of the newest jobs, and `next` goes on.",
        examples=["3f6c2a10"],
    )
    created_after: Timestamp | None = Field(
        None,
        description="Jobs created at this time or later, by the time in their ids. RFC 3339 with an offset.",
        examples=[EXAMPLE_TIME],
    )
    created_before: Timestamp | None = Field(
        None, description="Jobs created before this time.", examples=[EXAMPLE_TIME]
    )
    finished_after: Timestamp | None = Field(
        None, description="Jobs that ended at this time or later.", examples=[EXAMPLE_TIME]
    )
    finished_before: Timestamp | None = Field(
        None, description="Jobs that ended before this time.", examples=[EXAMPLE_TIME]
    )
    error: Annotated[StoredText, Field(min_length=1, max_length=200)] | None = Field(
        None,
        description="`FAILED` jobs whose error has this text in its type or message.",
        examples=["timeout"],
    )

    error_group: Annotated[str, Field(pattern="^[0-9a-f]{12}$")] | None = Field(
        None,
        description="`FAILED` jobs of this group, by its `error_group` in GET /errors. No index has it.",
        examples=["3f6c2a10b4d8"],
    )
    input: list[Annotated[str, Field(pattern=_PATH_VALUE, max_length=MAX_CONTENT_CHARACTERS)]] = Field(
        [],
        max_length=MAX_CONTENTS,
        description="Jobs whose input has a value at a path, as `path=value`: `order.id=7` is the member `id` of the "
        "member `order`; a number in the path is the index of an array. The value is compared with the text of a "
        "string, a number or a Boolean, as it was sent. Repeat the parameter for several. Needs the scope "
        "`jobs:payload`. No index has it: a page looks at JOBPROC_LIST_SCAN_INPUTS jobs, and `next` goes on.",
        examples=[["order.id=7"]],
    )
    metadata: list[Annotated[str, Field(pattern=_PATH_VALUE, max_length=MAX_CONTENT_CHARACTERS)]] = Field(
        [],
        max_length=MAX_CONTENTS,
        description="Jobs whose metadata have a value at a path, as `path=value`; see `input`. No index has it.",
        examples=[["customer=4711"]],
    )

    def contradictions(self) -> FieldErrors:
        """Return errors for combinations of filters that no job can match."""
        statuses, errors = set(self.status), FieldErrors()
        for name in ("error", "error_group"):
            if getattr(self, name) is not None and statuses - {State.FAILED}:
                errors.append((name, "only FAILED jobs have an error; use status=FAILED, or no status"))
        for name in ("finished_after", "finished_before"):
            if getattr(self, name) is not None and statuses - TERMINAL:
                allowed = ", ".join(sorted(TERMINAL))
                errors.append((name, f"only finished jobs have an end; use a status among {allowed}, or no status"))
        for order in Order:
            after, before = getattr(self, f"{order}_after"), getattr(self, f"{order}_before")
            if after is not None and before is not None and after >= before:
                errors.append((f"{order}_after", f"is not before {order}_before"))
        return errors

    @property
    def has_error(self) -> bool:
        """True if only FAILED jobs can match."""
        return self.error is not None or self.error_group is not None

    def to_search(self) -> JobSearch:
        """Return the search for these filters.

        `error` and `error_group` imply FAILED, `finished_*` imply the finished states.
        """
        statuses = frozenset(self.status)
        if not statuses and self.has_error:
            statuses = frozenset({State.FAILED})
        elif not statuses and (self.finished_after or self.finished_before):
            statuses = TERMINAL
        values = {name: getattr(self, name) for name in JobFilters.model_fields if name != "status"}
        values |= {"input": tuple(self.input), "metadata": tuple(self.metadata)}
        if self.id_suffix is not None:
            values["id_suffix"] = self.id_suffix.lower()
        return JobSearch(statuses=statuses, **values)

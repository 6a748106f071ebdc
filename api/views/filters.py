"""What clients narrow jobs down by: the same names and meanings for lists and for actions."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from api.web.timestamps import Timestamp
from common.domain.job import QUEUE_PATTERN
from common.domain.job_search import JobSearch, Order
from common.domain.states import TERMINAL, State

FieldErrors = list[tuple[str, str]]  # fields, and what is expected of them


MAX_STATUSES = 20  # each that is wrong has its own error


def _split(value: object) -> object:
    if not isinstance(value, list):
        return value
    parts = [part for one in value for part in str(one).split(",")]
    if len(parts) > MAX_STATUSES:
        raise ValueError(f"at most {MAX_STATUSES} are expected")
    return parts


_EXAMPLE_TIME = "2026-01-01T00:00:00+00:00"
_Text = Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")


class JobFilters(BaseModel):
    """Which jobs: those that fit all of these."""

    status: Annotated[list[State], BeforeValidator(_split)] = Field(
        [], description="Any of these; several by commas, or the parameter several times.", examples=[["FAILED", "CANCELLED"]]
    )
    operation: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")] | None = Field(None, examples=["square_sum"])
    queue: Annotated[str, Field(pattern=f"^{QUEUE_PATTERN}$")] | None = Field(None, examples=["default"])
    tag: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")] | None = Field(None, examples=["nightly"])
    created_after: Timestamp | None = Field(None, description="Then or later, by the time in its id; RFC 3339 with an offset.", examples=[_EXAMPLE_TIME])
    created_before: Timestamp | None = Field(None, description="Earlier than that.", examples=[_EXAMPLE_TIME])
    finished_after: Timestamp | None = Field(None, description="Then or later. Only finished jobs.", examples=[_EXAMPLE_TIME])
    finished_before: Timestamp | None = Field(None, description="Earlier than that. Only finished jobs.", examples=[_EXAMPLE_TIME])
    error: Annotated[str, _Text] | None = Field(None, description="Part of the type or the text of its error. Only jobs that are FAILED.", examples=["timeout"])

    def contradictions(self) -> FieldErrors:
        """Return what no job can fit."""
        asked, wrong = set(self.status), FieldErrors()
        if self.error is not None and asked - {State.FAILED}:
            wrong.append(("error", "only FAILED jobs have one: status=FAILED is expected, or none"))
        for name in ("finished_after", "finished_before"):
            if getattr(self, name) is not None and asked - TERMINAL:
                wrong.append((name, f"only finished jobs have an end: status of {', '.join(sorted(TERMINAL))} alone is expected, or none"))
        for kind in Order:
            after, before = getattr(self, f"{kind}_after"), getattr(self, f"{kind}_before")
            if after is not None and before is not None and after >= before:
                wrong.append((f"{kind}_after", f"is not before {kind}_before"))
        return wrong

    def to_search(self) -> JobSearch:
        """Return what is looked for."""
        statuses = frozenset(self.status)
        if not statuses and self.error is not None:
            statuses = frozenset({State.FAILED})
        elif not statuses and (self.finished_after or self.finished_before):
            statuses = TERMINAL
        return JobSearch(statuses=statuses, **{name: getattr(self, name) for name in JobFilters.model_fields if name != "status"})

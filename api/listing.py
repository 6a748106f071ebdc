"""What a client asks of GET /jobs, checked: each list that is served has an index that serves it, or a budget."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field

from api.cursors import MOST_CHARACTERS, Cursors
from api.instants import Instant
from api.problems import INVALID_ID, ProblemError, named
from api.schemas import Failure, JobList, JobSummary, SelfLink
from common.domain.job import QUEUE_PATTERN
from common.domain.search import UNSUCCESSFUL, Order, Place, Search
from common.domain.states import TERMINAL, State
from common.settings import Settings
from common.store.listing import Page, Record

PATH = "/jobs"
LIMIT = 50


def _split(value: object) -> object:
    return [part for one in value for part in str(one).split(",")] if isinstance(value, list) else value


_THEN = "2026-01-01T00:00:00+00:00"
_Text = Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")


class ListQuery(BaseModel):
    """The parameters of GET /jobs."""

    status: Annotated[list[State], BeforeValidator(_split)] = Field(
        [], description="Any of these; several by commas, or the parameter several times.", examples=[["FAILED", "CANCELLED"]]
    )
    operation: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")] | None = Field(None, examples=["square_sum"])
    queue: Annotated[str, Field(pattern=f"^{QUEUE_PATTERN}$")] | None = Field(None, examples=["default"])
    tag: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")] | None = Field(None, examples=["nightly"])
    created_after: Instant | None = Field(None, description="Then or later, by the time in its id; RFC 3339 with an offset.", examples=[_THEN])
    created_before: Instant | None = Field(None, description="Earlier than that.", examples=[_THEN])
    finished_after: Instant | None = Field(None, description="Then or later. Only finished jobs.", examples=[_THEN])
    finished_before: Instant | None = Field(None, description="Earlier than that. Only finished jobs.", examples=[_THEN])
    error: Annotated[str, _Text] | None = Field(None, description="Part of the type or the text of its error. Only jobs that are FAILED.", examples=["timeout"])
    sort: Literal["created", "-created", "finished", "-finished"] = Field(
        "-created",
        description="`-`: newest first. By their end only with `status` of FAILED and CANCELLED: no index has all ends in order.",
        examples=["created"],
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(LIMIT, description="Most jobs on a page; at most JOBPROC_LIST_PAGE_JOBS.", examples=[200])
    cursor: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)] | None = Field(
        None, description="Where to go on: from `next` of the page before, with the same filters and order."
    )


_MANY = {"status"}


class Listing:
    """A list that a client asks for, and the page of it."""

    def __init__(self, query: ListQuery, request: Request, settings: Settings) -> None:
        """Raises ProblemError, which names the parameter and says what is allowed."""
        _refuse(_misused(request.query_params.multi_items()))
        _refuse(_contradictions(query))
        self._query = query
        self._root = request.scope.get("root_path", "") + PATH
        self._cursors = Cursors(settings)
        self.search = _search(query)
        self.limit = query.limit
        if "limit" not in query.model_fields_set:
            self.limit = min(LIMIT, settings.list_page_jobs)
        elif query.limit > settings.list_page_jobs:
            _refuse([("limit", f"is more than {settings.list_page_jobs}")])
        self.beyond: Place | None = None
        if query.cursor is not None:
            self.beyond = self._cursors.read(self.search, query.cursor)
            if self.beyond is None:
                _refuse([("cursor", "is not one of this list: take `next` of the page before, with the same filters and order")])

    def body(self, page: Page) -> JobList:
        """Return what is answered."""
        after = None if page.next is None else self._url(self._cursors.write(self.search, page.next))
        return JobList(jobs=[_summary(job) for job in page.jobs], next=after, scanned=page.scanned, estimated_total=page.estimated_total)

    def link(self, after: str | None) -> str:
        """Return the value of the Link header (RFC 8288)."""
        links = [f'<{self._url(None)}>; rel="first"']
        return ", ".join(links if after is None else [f'<{after}>; rel="next"', *links])

    def _url(self, cursor: str | None) -> str:
        sent = self._query.model_dump(mode="json", exclude_unset=True, exclude={"cursor"}) | ({} if cursor is None else {"cursor": cursor})
        pairs = [(name, one) for name, value in sent.items() for one in (value if isinstance(value, list) else [value]) if one is not None]
        return f"{self._root}?{urlencode(pairs)}" if pairs else self._root


def _misused(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    known = ListQuery.model_fields
    counts = Counter(name for name, _ in items)
    wrong = [(name, f"no such parameter; allowed are {', '.join(known)}") for name in counts if name not in known]
    return wrong + [(name, "is given twice") for name, count in counts.items() if name in known and count > 1 and name not in _MANY]


def _contradictions(query: ListQuery) -> list[tuple[str, str]]:
    asked, wrong = set(query.status), list[tuple[str, str]]()
    failed = query.error is not None and (not asked or asked == {State.FAILED})
    if query.error is not None and not failed:
        wrong.append(("error", "only FAILED jobs have one: status=FAILED is expected, or none"))
    if query.sort.endswith(Order.FINISHED) and not failed and (not asked or not asked <= UNSUCCESSFUL):
        wrong.append(("sort", "by their end only what FAILED or was CANCELLED: status of these alone is expected; sort=created and -created take all"))
    for name in ("finished_after", "finished_before"):
        if getattr(query, name) is not None and asked - TERMINAL:
            wrong.append((name, f"only finished jobs have an end: status of {', '.join(sorted(TERMINAL))} alone is expected, or none"))
    for kind in Order:
        after, before = getattr(query, f"{kind}_after"), getattr(query, f"{kind}_before")
        if after is not None and before is not None and after >= before:
            wrong.append((f"{kind}_after", f"is not before {kind}_before"))
    return wrong


def _search(query: ListQuery) -> Search:
    statuses = frozenset(query.status)
    if not statuses and query.error is not None:
        statuses = frozenset({State.FAILED})
    elif not statuses and (query.finished_after or query.finished_before):
        statuses = TERMINAL
    filters = query.model_dump(include={"operation", "queue", "tag", "created_after", "created_before", "finished_after", "finished_before", "error"})
    return Search(statuses=statuses, order=Order(query.sort.removeprefix("-")), descending=query.sort.startswith("-"), **filters)


def _refuse(wrong: list[tuple[str, str]]) -> None:
    if wrong:
        problem: ProblemError = named(INVALID_ID, wrong, len(wrong))
        raise problem


def _summary(row: Record) -> JobSummary:
    error = None if row["error_type"] is None else Failure(type=row["error_type"], text=row["error_text"] or "")
    return JobSummary(
        job_id=row["id"], status=row["status"], operation=row["operation"], queue=row["queue"], priority=row["priority"], tags=row["tags"] or [],
        created_at=row["created_at"], due_at=row["due_at"], started_at=row["started_at"], finished_at=row["finished_at"],
        attempt=row["attempt"], max_attempts=row["max_attempts"], error=error, links=SelfLink(self=f"{PATH}/{row['id']}"),
    )  # fmt: skip

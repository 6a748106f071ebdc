"""What a client asks of GET /jobs, checked: each list that is served has an index that serves it, or a budget."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Request
from pydantic import Field

from api.schemas import ErrorView, JobList, JobSummaryView, SelfLink
from api.views.cursors import MAX_CURSOR_CHARACTERS, Cursors
from api.views.filters import FieldErrors, JobFilters
from api.web.problems import INVALID_PARAMETER, ProblemError, field_problem
from common.domain.job_search import UNSUCCESSFUL, ListPosition, Order
from common.domain.states import State
from common.settings import Settings
from common.store.listing.index_scan import JobPage, Record

PATH = "/jobs"
DEFAULT_LIMIT = 50


class JobListQuery(JobFilters):
    """The parameters of GET /jobs."""

    sort: Literal["created", "-created", "finished", "-finished"] = Field(
        "-created",
        description="`-`: newest first. By their end only with `status` of FAILED and CANCELLED: no index has all ends in order.",
        examples=["created"],
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(DEFAULT_LIMIT, description="Most jobs on a page; at most JOBPROC_LIST_PAGE_JOBS.", examples=[200])
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="Where to go on: from `next` of the page before, with the same filters and order."
    )


_REPEATABLE = {"status"}


class JobListRequest:
    """A list that a client asks for, and the page of it."""

    def __init__(self, query: JobListQuery, request: Request, settings: Settings) -> None:
        """Raises ProblemError, which names the parameter and says what is allowed."""
        _raise_if_any(_misused_parameters(request.query_params.multi_items()))
        _raise_if_any(_contradictions(query))
        self._query = query
        self._root = request.scope.get("root_path", "") + PATH
        self._cursors = Cursors(settings)
        self.search = replace(query.to_search(), order=Order(query.sort.removeprefix("-")), descending=query.sort.startswith("-"))
        self.limit = page_limit(query.limit if "limit" in query.model_fields_set else None, settings)
        self.after: ListPosition | None = None
        if query.cursor is not None:
            self.after = self._cursors.decode(self.search, query.cursor)
            if self.after is None:
                _raise_if_any([("cursor", "is not one of this list: take `next` of the page before, with the same filters and order")])

    def response_body(self, page: JobPage) -> JobList:
        """Return what is answered."""
        after = None if page.next is None else self._url(self._cursors.encode(self.search, page.next))
        return JobList(jobs=[_summary(job) for job in page.jobs], next=after, scanned=page.scanned, estimated_total=page.estimated_total)

    def link_header(self, after: str | None) -> str:
        """Return the value of the Link header (RFC 8288)."""
        links = [f'<{self._url(None)}>; rel="first"']
        return ", ".join(links if after is None else [f'<{after}>; rel="next"', *links])

    def _url(self, cursor: str | None) -> str:
        sent = self._query.model_dump(mode="json", exclude_unset=True, exclude={"cursor"}) | ({} if cursor is None else {"cursor": cursor})
        pairs = [(name, one) for name, value in sent.items() for one in (value if isinstance(value, list) else [value]) if one is not None]
        return f"{self._root}?{urlencode(pairs)}" if pairs else self._root


def page_limit(asked: int | None, settings: Settings) -> int:
    """Return how much a page holds, None: nobody has asked. Raises ProblemError where that is more than the operator allows."""
    most = settings.list_page_jobs
    if asked is None:
        return min(DEFAULT_LIMIT, most)
    _raise_if_any([("limit", f"is more than {most}")] if asked > most else [])
    return asked


def _misused_parameters(items: Iterable[tuple[str, str]]) -> FieldErrors:
    known = JobListQuery.model_fields
    counts = Counter(name for name, _ in items)
    wrong = [(name, f"no such parameter; allowed are {', '.join(known)}") for name in counts if name not in known]
    return wrong + [(name, "is given twice") for name, count in counts.items() if name in known and count > 1 and name not in _REPEATABLE]


def _contradictions(query: JobListQuery) -> FieldErrors:
    asked, wrong = set(query.status), query.contradictions()
    failed = query.error is not None and asked <= {State.FAILED}
    if query.sort.endswith(Order.FINISHED) and not failed and (not asked or not asked <= UNSUCCESSFUL):
        wrong.append(("sort", "by their end only what FAILED or was CANCELLED: status of these alone is expected; sort=created and -created take all"))
    return wrong


def _raise_if_any(wrong: FieldErrors) -> None:
    if wrong:
        problem: ProblemError = field_problem(INVALID_PARAMETER, wrong, len(wrong))
        raise problem


def _summary(row: Record) -> JobSummaryView:
    error = None if row["error_type"] is None else ErrorView(type=row["error_type"], text=row["error_text"] or "")
    return JobSummaryView(
        job_id=row["id"], status=row["status"], operation=row["operation"], queue=row["queue"], priority=row["priority"], tags=row["tags"] or [],
        created_at=row["created_at"], due_at=row["due_at"], started_at=row["started_at"], finished_at=row["finished_at"],
        attempt=row["attempt"], max_attempts=row["max_attempts"], error=error, links=SelfLink(self=f"{PATH}/{row['id']}"),
    )  # fmt: skip

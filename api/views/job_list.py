"""GET /jobs: its validated parameters, and its pages. Each list has an index that serves it, or a scan budget."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, Field

from api.limits.path_prefix import root_path
from api.schemas import JOB_ID, ErrorView, SelfLink
from api.views.cursors import MAX_CURSOR_CHARACTERS, Cursors
from api.views.filters import FieldErrors, JobFilters
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import ProblemError, field_problem
from common.domain.job_search import UNSUCCESSFUL, JobSearch, ListPosition, Order
from common.domain.states import State
from common.settings import Settings
from common.store.listing.index_scan import JobPage, Record

PATH = "/jobs"
DEFAULT_LIMIT = 50


class JobListQuery(JobFilters):
    """The parameters of GET /jobs."""

    sort: Literal["created", "-created", "finished", "-finished"] = Field(
        "-created",
        description="The sort order; `-` means newest first. Default: `-created`. `finished` needs a `status` of "
        "`FAILED`, `CANCELLED` or both, because no index has the ends of all jobs.",
        examples=["created"],
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        DEFAULT_LIMIT,
        description="The number of jobs on a page, at most JOBPROC_LIST_PAGE_JOBS. Default: 50, or that if it is less.",
        examples=[200],
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="The position of the page, from `next` of the previous page. Keep the filters and the order."
    )


class JobSummaryView(BaseModel):
    """A job in a list."""

    job_id: UUID = JOB_ID
    status: State
    operation: str = Field(description="The name of the operation.", examples=["square_sum"])
    queue: str = Field(examples=["default"])
    priority: int = Field(description="0 (first) to 9.")
    tags: list[str]
    created_at: datetime
    due_at: datetime | None = Field(
        description="When the next attempt may begin. Null while an attempt runs and after the end of the job."
    )
    started_at: datetime | None = Field(description="When the attempt began that is running, or that ended the job.")
    finished_at: datetime | None = Field(description="When the job ended.")
    attempt: int = Field(description="The number of attempts so far, including the running one.")
    max_attempts: int = Field(description="The number of charged attempts after which the job ends `FAILED`.")
    error: ErrorView | None = Field(
        description="The error, with the first 200 characters of its text. GET /jobs/{job_id} returns all of it."
    )
    links: SelfLink


class JobList(BaseModel):
    """A page of jobs."""

    jobs: list[JobSummaryView]
    next: str | None = Field(description="The path of the next page, also in the Link header. Null on the last page.")
    scanned: int = Field(description="The number of rows scanned for this page.", examples=[50])
    estimated_total: int | None = Field(
        description="The estimated length of the whole list, on its first page, from the statistics of the database. "
        "Null if they do not cover the list, or are older than most of its jobs may be.",
        examples=[1_204_000],
    )


_REPEATABLE = {"status", "input", "metadata"}


class JobListRequest:
    """A validated request for one page of a list of jobs."""

    def __init__(self, query: JobListQuery, request: Request, tenant: int, settings: Settings) -> None:
        """Validate the parameters. Raises ProblemError, which names the parameter and the allowed values."""
        _raise_if_any(_misused_parameters(request.query_params.multi_items()))
        _raise_if_any(_contradictions(query))
        self._query = query
        self._root = root_path(request.scope) + PATH
        self._cursors = Cursors(settings, tenant)
        self.search = replace(
            query.to_search(), order=Order(query.sort.removeprefix("-")), descending=query.sort.startswith("-")
        )
        self.limit = page_limit(query.limit if "limit" in query.model_fields_set else None, settings)
        self.after: ListPosition | None = None  #: None: the first page
        if query.cursor is not None:
            self.after = self._cursors.decode(self.search, query.cursor)
            if self.after is None:
                reason = (
                    "is not a cursor of this list; use `next` of the previous page, with the same filters and order"
                )
                _raise_if_any([("cursor", reason)])

    def response_body(self, page: JobPage) -> JobList:
        """Return the response body of a page."""
        next_url = None if page.next is None else self._url(self._cursors.encode(self.search, page.next))
        return JobList(
            jobs=[_summary(job, self._root) for job in page.jobs],
            next=next_url,
            scanned=page.scanned,
            estimated_total=page.estimated_total,
        )

    def page_tail(self, page: JobPage) -> str:
        """Return the members of a page's JSON behind its jobs."""
        return self.response_body(replace(page, jobs=[])).model_dump_json(exclude={"jobs"})[1:-1]

    def link_header(self, next_url: str | None) -> str:
        """Return the value of the Link header (RFC 8288): the first page, and the next one if there is one."""
        links = [f'<{self._url(None)}>; rel="first"']
        return ", ".join(links if next_url is None else [f'<{next_url}>; rel="next"', *links])

    def _url(self, cursor: str | None) -> str:
        parameters = self._query.model_dump(mode="json", exclude_unset=True, exclude={"cursor"}) | (
            {} if cursor is None else {"cursor": cursor}
        )
        pairs = [
            (name, item)
            for name, value in parameters.items()
            for item in (value if isinstance(value, list) else [value])
            if item is not None
        ]
        return f"{self._root}?{urlencode(pairs)}" if pairs else self._root


def page_limit(requested: int | None, settings: Settings) -> int:
    """Return the page size, a default if `requested` is None. Raises ProblemError above the operator's limit."""
    max_jobs = settings.list_page_jobs
    if requested is None:
        return min(DEFAULT_LIMIT, max_jobs)
    _raise_if_any([("limit", f"is more than {max_jobs}")] if requested > max_jobs else [])
    return requested


def scan_limit(search: JobSearch, settings: Settings) -> int:
    """Return the largest number of rows that a page or a preview scans. Inputs are larger than other values."""
    return min(settings.list_scan_inputs, settings.list_scan_jobs) if search.input else settings.list_scan_jobs


def _misused_parameters(items: Iterable[tuple[str, str]]) -> FieldErrors:
    known = JobListQuery.model_fields
    counts = Counter(name for name, _ in items)
    errors = [(name, f"is not a parameter; allowed are {', '.join(known)}") for name in counts if name not in known]
    return errors + [
        (name, "is given more than once")
        for name, count in counts.items()
        if name in known and count > 1 and name not in _REPEATABLE
    ]


def _contradictions(query: JobListQuery) -> FieldErrors:
    statuses, errors = set(query.status), query.contradictions()
    failed_only = query.has_error and statuses <= {State.FAILED}
    if query.sort.endswith(Order.FINISHED) and not failed_only and (not statuses or not statuses <= UNSUCCESSFUL):
        reason = "needs a status of FAILED, CANCELLED or both; created and -created sort every list"
        errors.append(("sort", f"{query.sort} {reason}"))
    return errors


def _raise_if_any(errors: FieldErrors) -> None:
    if errors:
        problem: ProblemError = field_problem(INVALID_PARAMETER, errors, len(errors))
        raise problem


def job_row(row: Record, root: str) -> str:
    """Return the JSON of a job in a list: a JobSummaryView. Its link begins with `root`."""
    return _summary(row, root + PATH).model_dump_json()


def _summary(row: Record, root: str) -> JobSummaryView:
    error = None if row["error_type"] is None else ErrorView(type=row["error_type"], text=row["error_text"] or "")
    return JobSummaryView(
        job_id=row["id"],
        status=row["status"],
        operation=row["operation"],
        queue=row["queue"],
        priority=row["priority"],
        tags=row["tags"] or [],
        created_at=row["created_at"],
        due_at=row["due_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        error=error,
        links=SelfLink(self=f"{root}/{row['id']}"),
    )

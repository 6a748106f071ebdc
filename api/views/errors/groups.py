"""GET /errors: its validated parameters, and error groups as responses."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID
from api.views.filters import EXAMPLE_TIME
from api.views.job_list import PATH as JOBS_PATH
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from api.web.stored_text import StoredText
from api.web.timestamps import Timestamp
from common.domain.job import QUEUE_PATTERN
from common.store.listing.error_groups import BUCKETS, ErrorGroup, ErrorGroups, ErrorSearch


class ErrorListQuery(BaseModel):
    """The parameters of GET /errors."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[StoredText, Field(min_length=1, max_length=64)] | None = Field(
        None, description="The name of the operation.", examples=["square_sum"]
    )
    queue: Annotated[str, Field(pattern=f"^{QUEUE_PATTERN}$")] | None = Field(
        None, description="The name of the queue.", examples=["default"]
    )
    finished_after: Timestamp | None = Field(
        None, description="Jobs that ended at this time or later. RFC 3339 with an offset.", examples=[EXAMPLE_TIME]
    )
    finished_before: Timestamp | None = Field(
        None, description="Jobs that ended before this time.", examples=[EXAMPLE_TIME]
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None,
        description="The number of groups, the largest first, at most JOBPROC_LIST_PAGE_JOBS. Default: 50.",
        examples=[20],
    )

    def to_search(self, tenant: int) -> ErrorSearch:
        """Return the search of a tenant. Raises ProblemError if no time is in the range."""
        after, before = self.finished_after, self.finished_before
        if after is not None and before is not None and after >= before:
            raise field_problem(INVALID_PARAMETER, [("finished_after", "is not before finished_before")], 1)
        return ErrorSearch(tenant, self.operation, self.queue, after, before)


class ErrorGroupLinks(BaseModel):
    """Links to the jobs of an error group, as paths."""

    jobs: str


class ErrorGroupView(BaseModel):
    """The failed jobs of an operation with the same error type, and the same error text but for ids and numbers."""

    error_group: str = Field(
        description="The id of the group, for the filter `error_group`. It is the same for the same operation, type "
        "and normalised text.",
        examples=["3f6c2a10b4d8"],
    )
    operation: str = Field(description="The name of the operation.", examples=["square_sum"])
    type: str = Field(description="The type of the error.", examples=["timeout"])
    normalised_text: str = Field(
        description="The start of the error text. `#` stands for numbers, ids and quotations.",
        examples=["it ran for more than # s"],
    )
    count: int = Field(description="The number of `FAILED` jobs.", examples=[3_614])
    first_at: datetime = Field(description="When the first of these jobs ended.")
    last_at: datetime = Field(description="When the last of these jobs ended.")
    counts: list[int] = Field(
        description=f"The number of jobs in {BUCKETS} equal parts of the time from `since` to `until`, oldest first."
    )
    sample_text: str = Field(description="The first 200 characters of the error text of the newest of these jobs.")
    sample: list[UUID] = Field(description="The ids of the newest of these jobs, at most 10.", examples=[[EXAMPLE_ID]])
    links: ErrorGroupLinks


class ErrorList(BaseModel):
    """The largest error groups among the newest failures of a tenant."""

    errors: list[ErrorGroupView]
    groups_total: int = Field(description="The number of groups, including those that are not in this response.")
    failed: int = Field(description="The number of `FAILED` jobs in all groups.")
    scanned: int = Field(description="The number of scanned rows: ends of jobs that failed or were cancelled.")
    is_complete: bool = Field(
        description="False if JOBPROC_ERRORS_SCAN_JOBS ended the scan: the groups are then those since `since` alone."
    )
    since: datetime | None = Field(
        description="The begin of the time that was scanned: `finished_after`, or the end of the oldest job. Null if "
        "there is neither."
    )
    until: datetime = Field(description="The end of the time that was scanned: `finished_before`, or now.")


def error_list(found: ErrorGroups, root: str) -> ErrorList:
    """Return the response body for error groups. Links begin with `root`."""
    return ErrorList(
        errors=[_view(group, root) for group in found.groups],
        groups_total=found.groups_total,
        failed=found.failed,
        scanned=found.scanned,
        is_complete=found.is_complete,
        since=found.since,
        until=found.until,
    )


def _view(group: ErrorGroup, root: str) -> ErrorGroupView:
    query = urlencode({"error_group": group.id, "operation": group.operation})
    return ErrorGroupView(
        error_group=group.id,
        operation=group.operation,
        type=group.error_type,
        normalised_text=group.normalised,
        count=group.count,
        first_at=group.first_at,
        last_at=group.last_at,
        counts=group.counts,
        sample_text=group.sample_text,
        sample=group.sample,
        links=ErrorGroupLinks(jobs=f"{root}{JOBS_PATH}?{query}"),
    )

"""Batches: the query of their list, and response bodies."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID, SelfLink, WebhookView
from api.views.cursors import MAX_CURSOR_CHARACTERS
from api.web.timestamps import Timestamp
from common.domain.batches import BatchState, progress, state_of
from common.store.batches.reads import Record

PATH = "/batches"


class BatchListQuery(BaseModel):
    """The parameters of GET /batches."""

    model_config = ConfigDict(extra="forbid")

    status: BatchState | None = Field(None, description="Batches in this state.", examples=["OPEN"])
    created_after: Timestamp | None = Field(
        None,
        description="Batches created at this time or later. RFC 3339 with an offset.",
        examples=["2026-01-01T00:00:00+00:00"],
    )
    created_before: Timestamp | None = Field(
        None, description="Batches created before this time.", examples=["2026-01-01T00:00:00+00:00"]
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None,
        description="The number of batches on a page, at most JOBPROC_LIST_PAGE_JOBS. Default: 50.",
        examples=[200],
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="The position of the page, from `next` of the previous page."
    )


class BatchCounts(BaseModel):
    """The jobs of a batch by their state, at one instant. The sum is `jobs` of the batch."""

    unfinished: int = Field(description="Jobs that wait or run.", examples=[1_200])
    succeeded: int = Field(description="Jobs that are SUCCESS.", examples=[8_790])
    failed: int = Field(description="Jobs that are FAILED.", examples=[10])
    cancelled: int = Field(description="Jobs that are CANCELLED.", examples=[0])


class FollowUpView(BaseModel):
    """The follow-up of a batch."""

    operation: str = Field(description="The name of its operation.", examples=["square_sum"])
    job_id: UUID | None = Field(description="The id of the job. Null until the batch has ended.", examples=[EXAMPLE_ID])


class BatchLinks(SelfLink):
    """Links to a batch and to the requests about it, as paths."""

    jobs: str = Field(description="GET lists the jobs of the batch.")
    add: str = Field(description="POST adds jobs.")
    close: str
    cancel: str
    events: str


class BatchSummary(BaseModel):
    """A batch without the counts of its jobs."""

    batch_id: UUID = Field(description="The id of the batch, a UUIDv7.", examples=[EXAMPLE_ID])
    status: BatchState = Field(
        description="`OPEN`: jobs may be added. `CLOSED`: some have not ended. `ENDED`: all have; it stays so if a job "
        "is retried by request."
    )
    jobs: int = Field(description="The number of jobs that are stored.", examples=[10_000])
    created_at: datetime
    closed_at: datetime | None
    ended_at: datetime | None = Field(description="When the last job had ended, and the follow-up was stored.")
    cancelled_at: datetime | None = Field(description="When the newest cancel was requested.")
    submitted_by: str | None = Field(description="The caller who has created the batch.")
    webhook: WebhookView | None = Field(description="The endpoint that is told of each end. Null: none.")
    follow_up: FollowUpView | None
    links: BatchLinks


class BatchView(BatchSummary):
    """A batch with the exact counts of its jobs."""

    counts: BatchCounts
    counted_at: datetime = Field(
        description="When the jobs were counted. If that took long, the response may be as old as twenty times that."
    )
    progress: float = Field(description="The share of the jobs that have ended, 0 to 1.", examples=[0.88])


class BatchList(BaseModel):
    """A page of batches, newest first."""

    batches: list[BatchSummary]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


def counts_of(row: Record) -> dict[str, int]:
    """Return the members of BatchCounts for a row with counts."""
    succeeded = row["jobs"] - row["unfinished"] - row["failed"] - row["cancelled"]
    counts = {name: row[name] for name in ("unfinished", "failed", "cancelled")}
    return counts | {"succeeded": succeeded}


def batch_view(row: Record, root: str = "") -> dict[str, Any]:
    """Return the members of a BatchView for a row with counts. Its links begin with `root`."""
    share = round(progress(row["jobs"], row["unfinished"]), 4)
    counts = {"counts": counts_of(row), "counted_at": row["counted_at"], "progress": share}
    return {**_summary(row, root), **counts}


def batch_body(row: Record, root: str = "") -> bytes:
    """Return the response body for a row with counts: a BatchView. Its links begin with `root`."""
    return orjson.dumps(batch_view(row, root), option=orjson.OPT_UTC_Z)


def batch_list_body(rows: Sequence[Record], next_path: str | None, root: str = "") -> bytes:
    """Return the response body for a page of batches: a BatchList. Links begin with `root`."""
    views = [_summary(row, root) for row in rows]
    return orjson.dumps({"batches": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def etag_suffix(row: Record) -> str:
    """Return the part of the ETag that covers the counts."""
    return "." + ".".join(str(count) for count in counts_of(row).values())


def _summary(row: Mapping[str, Any], root: str) -> dict[str, Any]:
    path = f"{root}{PATH}/{row['id']}"
    operation = row["follow_up_operation"]
    return {
        "batch_id": str(row["id"]),
        "status": state_of(row["closed_at"], row["ended_at"]),
        "jobs": row["jobs"],
        "created_at": row["created_at"],
        "closed_at": row["closed_at"],
        "ended_at": row["ended_at"],
        "cancelled_at": row["cancelled_at"],
        "submitted_by": row["submitted_by"],
        "webhook": None if row["webhook"] is None else {"endpoint_id": str(row["webhook"])},
        "follow_up": None
        if operation is None
        else {"operation": operation, "job_id": row["follow_up_job"] and str(row["follow_up_job"])},
        "links": {
            "self": path,
            "jobs": f"{root}/jobs?batch={row['id']}",
            "add": f"{path}/jobs",
            "close": f"{path}/close",
            "cancel": f"{path}/cancel",
            "events": f"{path}/events",
        },
    }

"""GET /events: its parameters, and its pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import JOB_ID
from api.web.stored_text import StoredText
from common.domain.states import State
from common.store.feed.reads import FeedChange

PATH = "/events"
LATEST = "latest"
DEFAULT_LIMIT = 200
Name = Annotated[StoredText, Field(min_length=1, max_length=200)]


class FeedQuery(BaseModel):
    """The parameters of GET /events."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[int, Field(ge=0, le=2**63 - 1)] | Literal["latest"] | None = Field(
        None,
        description="The number behind which the page begins: `after` of the previous page. `latest`: with the next "
        "change. Default: with the oldest change that is kept.",
        examples=[0, LATEST],
    )
    queue: Name | None = Field(None, description="Only changes of jobs in this queue.", examples=["default"])
    operation: Name | None = Field(None, description="Only changes of jobs of this operation.", examples=["square_sum"])
    tag: Name | None = Field(None, description="Only changes of jobs with this tag.", examples=["nightly"])
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        DEFAULT_LIMIT, description="The largest number of changes on a page. Default: 200.", examples=[100]
    )
    wait: Annotated[float, Field(ge=0, le=3_600)] = Field(
        0,
        description="Seconds to wait for a change, at most JOBPROC_LONG_POLL_MAX_SECONDS (60). The response is sent "
        "with the first changes that match, or when the time is up. Default: 0.",
        examples=[0.1],
    )
    follow: bool = Field(
        False,
        description="True: the response is a stream of the changes as server-sent events. So is that to a request "
        "whose Accept begins with `text/event-stream`.",
        examples=[False],
    )


class ChangeView(BaseModel):
    """A change of the state of a job."""

    number: int = Field(description="Its place in the order that all readers of the tenant see.", examples=[17])
    job_id: UUID = JOB_ID
    queue: str = Field(examples=["default"])
    operation: str | None = Field(description="Null: the job was deleted meanwhile.", examples=["square_sum"])
    tags: list[str]
    status: State | None = Field(
        description="The state that the job has got. SCHEDULED and RETRYING become PENDING at `due_at` without another "
        "change. Null: the job was deleted meanwhile."
    )
    run: int = Field(description="0, or the number of a manual retry.", examples=[0])
    attempt: int = Field(description="The number of attempts so far, including the running one.", examples=[1])
    revision: int = Field(description="Counts all changes of the job; it grows from change to change.", examples=[3])
    due_at: datetime | None = Field(description="When a SCHEDULED or RETRYING job becomes PENDING.")
    parked: bool = Field(description="True: the job waits for another one with its unique or concurrency key.")
    at: datetime = Field(description="When it happened, by the clock of the database.")


class FeedPageView(BaseModel):
    """A page of the change feed, in the order of the numbers."""

    events: list[ChangeView]
    after: int = Field(description="The number behind which the next page begins. Store it with what you have done.")
    next: str = Field(description="The path of the next page; there is always one.", examples=["/events?after=17"])


def page_body(query: FeedQuery, changes: Sequence[FeedChange], after: int, root: str) -> bytes:
    """Return the response body for a page: a FeedPageView."""
    parameters: dict[str, Any] = {"after": after}
    parameters |= query.model_dump(include={"queue", "operation", "tag", "limit", "wait"}, exclude_defaults=True)
    next_path = f"{root}{PATH}?{urlencode(parameters)}"
    events = b",".join(change.text for change in changes)
    return b'{"events":[%b],"after":%d,"next":%b}' % (events, after, orjson.dumps(next_path))

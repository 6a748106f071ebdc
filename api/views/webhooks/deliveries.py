"""Deliveries of webhooks: the query of their list, and its pages. A delivery is a job."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.schemas import EXAMPLE_ID, ErrorView, SelfLink
from api.views.cursors import MAX_CURSOR_CHARACTERS, Cursors
from api.views.filters import split_list
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.domain.webhooks.events import OPERATION, EventType
from common.store.listing.index_scan import JobPage, Record
from common.store.webhooks.endpoints import tag_of

PATH = "/webhooks/deliveries"


class DeliveryListQuery(BaseModel):
    """The parameters of GET /webhooks/deliveries. A delivery matches if it satisfies all of them."""

    model_config = ConfigDict(extra="forbid")

    endpoint_id: UUID | None = Field(None, description="The endpoint to which they go.", examples=[EXAMPLE_ID])
    status: Annotated[list[State], BeforeValidator(split_list)] = Field(
        [],
        description="The states of the deliveries. Separate several with commas, or repeat the parameter.",
        examples=[["FAILED"]],
    )
    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of deliveries on a page. Default: 50.", examples=[50]
    )
    cursor: Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        None, description="The position of the page, from `next` of the previous page."
    )

    def to_search(self) -> JobSearch:
        """Return the search among the jobs."""
        tag = None if self.endpoint_id is None else tag_of(self.endpoint_id)
        return JobSearch(statuses=frozenset(self.status), operation=OPERATION, tag=tag)


class DeliveryLinks(SelfLink):
    """Links to the job of a delivery and to the requests about it, as paths."""

    redeliver: str
    subject: str | None = Field(description="The job or batch that the event is about. Null: it is about none.")


class DeliveryView(BaseModel):
    """A delivery of an event. Its attempts are those of its job."""

    job_id: UUID = Field(description="The job that delivers it, and the header `webhook-id`.", examples=[EXAMPLE_ID])
    type: EventType | None = Field(description="Null: retention has deleted the event.")
    happened_at: datetime | None = Field(description="When the event happened.")
    data: dict[str, Any] | None = Field(description="The data of the event, without the result of a job.")
    status: State = Field(description="`SUCCESS`: it was delivered. `FAILED`: it was given up.")
    created_at: datetime
    due_at: datetime | None = Field(description="When the next attempt may begin. Null while one runs, and at the end.")
    finished_at: datetime | None
    attempt: int = Field(description="The number of attempts so far, with those that have found no place.")
    max_attempts: int
    error: ErrorView | None = Field(description="Why it was given up. The job has the error of each attempt.")
    links: DeliveryLinks


class DeliveryList(BaseModel):
    """A page of deliveries, those of the newest jobs and batches first."""

    deliveries: list[DeliveryView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


def list_body(
    query: DeliveryListQuery, page: JobPage, inputs: Mapping[UUID, dict[str, Any] | None], cursors: Cursors, root: str
) -> bytes:
    """Return the response body for a page: a DeliveryList. `inputs`: of the jobs, by their ids."""
    next_path = None
    if page.next is not None:
        parameters = {
            **({"endpoint_id": str(query.endpoint_id)} if query.endpoint_id else {}),
            **({"status": ",".join(query.status)} if query.status else {}),
            "limit": str(query.limit),
            "cursor": cursors.encode(query.to_search(), page.next),
        }
        next_path = f"{root}{PATH}?{urlencode(parameters)}"
    views = [_view(job, inputs.get(UUID(str(job["id"]))), root) for job in page.jobs]
    return orjson.dumps({"deliveries": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def _view(job: Record, input_: dict[str, Any] | None, root: str) -> dict[str, Any]:
    event = {} if input_ is None else input_["event"]
    same = ("status", "created_at", "due_at", "finished_at", "attempt", "max_attempts")
    error = None if job["error_type"] is None else {"type": job["error_type"], "text": job["error_text"] or ""}
    return {
        "job_id": str(job["id"]),
        "type": event.get("type"),
        "happened_at": event.get("timestamp"),
        "data": event.get("data"),
        **{name: job[name] for name in same},
        "error": error,
        "links": {
            "self": f"{root}/jobs/{job['id']}",
            "redeliver": f"{root}{PATH}/{job['id']}/redeliver",
            "subject": _subject(event.get("data") or {}, root),
        },
    }


def _subject(data: Mapping[str, Any], root: str) -> str | None:
    if "job_id" in data:
        return f"{root}/jobs/{data['job_id']}"
    return f"{root}/batches/{data['batch_id']}" if "batch_id" in data else None

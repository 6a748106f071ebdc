"""Queues: responses."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import SelfLink
from api.web.stored_text import StoredText
from common.domain.tenancy.queue_policies import QueuePolicies, QueuePolicy
from common.queue_definitions.limits import QueueLimits, RateLimit
from common.store.queues.policies import NO_REVISION

PATH = "/queues"
_VERBS = ("pause", "resume")


class QueueLinks(SelfLink):
    """Links to a queue and to the requests about it, as paths."""

    pause: str
    resume: str


class QueueChange(QueueLimits):
    """A change of a policy. Members that are absent stay as they are; null takes a limit away."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"concurrency": 4, "rate": {"per_second": 50, "burst": 10}}]}
    )

    paused: bool = Field(False, description="True: no job starts. False: jobs start.")

    def members(self) -> dict[str, Any]:
        """Return the members that the change has, as the store knows them."""
        return self.stored(self.model_fields_set)


class QueuePolicyView(BaseModel):
    """A policy of a queue."""

    paused: bool = Field(description="True: no job starts.")
    paused_at: datetime | None = Field(description="Null: it is not paused.")
    concurrency: int | None = Field(description="The jobs that may run at once. Null: any number.", examples=[4])
    rate: RateLimit | None = Field(description="The jobs that may start a second. Null: any number.")
    key_concurrency: int | None = Field(
        description="The jobs of one `concurrency_key` that may run at once. Null: any number.", examples=[1]
    )
    key_rate: RateLimit | None = Field(
        description="The jobs of one `concurrency_key` that may start a second. Null: any number."
    )
    events: bool = Field(description="True: GET /events has the changes of its jobs.")
    managed: bool = Field(description="True: a file declares it, and requests can change `paused` alone.")
    changed_at: datetime = Field(description="When it was last changed.")
    changed_by: str | None = Field(description="Who changed it. Null: callers are not authenticated.")


class QueueSummary(BaseModel):
    """A queue, with the policies that hold for the jobs of the caller's tenant."""

    name: str = Field(examples=["default"])
    paused: bool = Field(description="True: by either policy no job of the tenant starts.")
    policy: QueuePolicyView | None = Field(description="That of the tenant, for its jobs. Null: there is none.")
    operators_policy: QueuePolicyView | None = Field(
        description="That of the operators, for the jobs of all tenants. Null: there is none."
    )
    links: QueueLinks


class QueueDetail(QueueSummary):
    """A queue with the jobs of the caller's tenant in it."""

    queued: int = Field(description="The jobs that are due, counted up to a limit of each priority.", examples=[20])
    running: int = Field(description="The jobs that workers have claimed, counted likewise.", examples=[4])


class QueueList(BaseModel):
    """A page of queues, by name."""

    queues: list[QueueSummary]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class QueueListQuery(BaseModel):
    """The parameters of GET /queues."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of queues on a page. Default: 50.", examples=[50]
    )
    after: Annotated[StoredText, Field(min_length=1, max_length=63)] | None = Field(
        None, description="The name of the last queue of the previous page.", examples=["default"]
    )


def etag(policy: QueuePolicy | None) -> tuple[bytes, bytes]:
    """Return the header with the tag of a policy. It is weak, because compression changes the bytes of a response."""
    return b"etag", b'W/"%d"' % (NO_REVISION if policy is None else policy.rev)


def queue_body(queue: QueuePolicies, queued: int, running: int, root: str) -> bytes:
    """Return the response body for a queue: a QueueDetail."""
    members = {**_summary(queue, root), "queued": queued, "running": running}
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def list_body(query: QueueListQuery, queues: list[QueuePolicies], root: str) -> bytes:
    """Return the response body for a page of queues: a QueueList."""
    next_path = None
    if len(queues) == query.limit:
        next_path = f"{root}{PATH}?{urlencode({'limit': query.limit, 'after': queues[-1].queue})}"
    members = {"queues": [_summary(queue, root) for queue in queues], "next": next_path}
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def _summary(queue: QueuePolicies, root: str) -> dict[str, Any]:
    path = f"{root}{PATH}/{quote(queue.queue, safe='')}"
    return {
        "name": queue.queue,
        "paused": queue.is_paused,
        "policy": _policy(queue.own),
        "operators_policy": _policy(queue.of_operators),
        "links": {"self": path, **{verb: f"{path}/{verb}" for verb in _VERBS}},
    }


def _policy(policy: QueuePolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    return {
        "paused": policy.paused_at is not None,
        "paused_at": policy.paused_at,
        "concurrency": policy.concurrency,
        "rate": _rate(policy.rate, policy.burst),
        "key_concurrency": policy.key_concurrency,
        "key_rate": _rate(policy.key_rate, policy.key_burst),
        "events": policy.events,
        "managed": policy.managed,
        "changed_at": policy.changed_at,
        "changed_by": policy.changed_by,
    }


def _rate(per_second: float | None, burst: float | None) -> dict[str, Any] | None:
    return None if per_second is None else {"per_second": per_second, "burst": burst}

"""Endpoints of webhooks: request bodies, validated, and responses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID, SelfLink
from api.web.stored_text import StoredText
from common.domain.errors import InvalidSubmission
from common.domain.webhooks.events import SUBSCRIBABLE, DisabledReason, EndpointState, EventType
from common.domain.webhooks.target_url import MAX_CHARACTERS
from common.settings import Settings
from common.store.webhooks.endpoints import EndpointSearch, SecretTimes
from common.store.webhooks.records import DEFINITION_COLUMNS, StoredEndpoint

PATH = "/webhooks/endpoints"
EXAMPLE_URL = "https://hooks.example.com/jobs"
EXAMPLE_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" + "xxxxxxxxxxx="
MAX_OVERLAP_S = 86_400 * 30
_EVENTS = ", ".join(f"`{event}`" for event in SUBSCRIBABLE)


class _Members(BaseModel):
    model_config = ConfigDict(extra="forbid")

    description: Annotated[StoredText, Field(max_length=500)] = Field("", description="A text for people.")
    events: Annotated[list[EventType], Field(min_length=1, max_length=len(SUBSCRIBABLE))] | None = Field(
        None,
        description=f"The types of the events that it gets: {_EVENTS}. Null, the default: all of them.",
        examples=[["job.failed"]],
    )
    default: bool = Field(
        False,
        strict=True,
        description="True: jobs and batches that name no endpoint have this one, within five seconds. An endpoint of "
        "the tenant that was the default is it no longer. Default: false.",
    )
    include_result: bool = Field(
        False,
        strict=True,
        description="True: the events of jobs that have succeeded have their results. Needs the scope `jobs:payload`. "
        "Default: false.",
    )
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=1_000)] | None = Field(
        None,
        description="The attempts of each delivery. Default: JOBPROC_WEBHOOK_MAX_ATTEMPTS, which take about a day.",
    )
    disabled: bool = Field(False, strict=True, description="True: it gets no events. Default: false.")


class EndpointBody(_Members):
    """A new endpoint: where to events are sent, and which."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"url": EXAMPLE_URL, "events": ["job.failed", "batch.ended"]}]},
    )

    url: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)] = Field(
        description="The URL to which events are posted, with the schemes, ports and hosts that the operator allows. "
        "Its host must have public addresses.",
        examples=[EXAMPLE_URL],
    )


class EndpointChange(_Members):
    """A change of an endpoint. What it does not have stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"events": ["job.failed"]}, {"disabled": False}]}
    )

    url: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)] | None = Field(
        None, description="The URL to which events are posted.", examples=[EXAMPLE_URL]
    )


class SecretRotationBody(BaseModel):
    """The rotation of the secret of an endpoint."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3_600}]})

    overlap_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_OVERLAP_S)] | None = Field(
        None,
        description="Seconds for which messages are signed with the old secret too. Default: "
        "JOBPROC_WEBHOOK_ROTATION_OVERLAP_SECONDS, a day.",
    )


class EndpointLinks(SelfLink):
    """Links to an endpoint and to the requests about it, as paths."""

    deliveries: str
    rotate: str
    test: str


class SecretView(BaseModel):
    """A secret with which messages are signed, without the secret."""

    created_at: datetime
    expires_at: datetime | None = Field(description="Null: until the next rotation.")


class EndpointSummary(BaseModel):
    """An endpoint of webhooks."""

    id: UUID = Field(examples=[EXAMPLE_ID])
    url: str = Field(examples=[EXAMPLE_URL])
    description: str
    events: list[EventType] | None = Field(description="The types of the events that it gets. Null: all.")
    default: bool = Field(description="True: jobs and batches that name no endpoint have this one.")
    include_result: bool
    max_attempts: int = Field(examples=[21])
    state: EndpointState = Field(
        description="`ACTIVE`; `FAILING`: several attempts in a row have failed, so its deliveries wait, and one at a "
        "time tries; `DISABLED`: it gets no events."
    )
    disabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="`requested`: by a client. `gone`: it has answered 410. `failing`: it has failed for "
        "JOBPROC_WEBHOOK_DISABLE_AFTER_SECONDS."
    )
    disabled_at: datetime | None
    failures: int = Field(description="Failed attempts in a row.", examples=[0])
    failing_since: datetime | None
    open_until: datetime | None = Field(description="While FAILING: when the next delivery tries.")
    last_success_at: datetime | None = Field(description="Exact to ten seconds.")
    last_failure_at: datetime | None
    last_failure: str | None
    created_at: datetime
    created_by: str | None = Field(description="Who created it. Null: callers are not authenticated.")
    changed_at: datetime
    links: EndpointLinks


class EndpointView(EndpointSummary):
    """An endpoint with its secrets, of which only the times are shown."""

    secrets: list[SecretView] = Field(description="Newest first.")


class NewSecretView(EndpointView):
    """An endpoint with a new secret, which is shown once."""

    secret: str = Field(
        description="Verifies the header `webhook-signature` of each message (standardwebhooks.com).",
        examples=[EXAMPLE_SECRET],
    )


class EndpointList(BaseModel):
    """A page of endpoints, by id."""

    endpoints: list[EndpointSummary]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class EndpointListQuery(BaseModel):
    """The parameters of GET /webhooks/endpoints. An endpoint matches if it satisfies all of them."""

    model_config = ConfigDict(extra="forbid")

    state: EndpointState | None = Field(None, description="Endpoints in this state.", examples=["FAILING"])
    event: EventType | None = Field(None, description="Endpoints that get this event.", examples=["job.failed"])
    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of endpoints on a page. Default: 50.", examples=[50]
    )
    after: UUID | None = Field(
        None, description="The id of the last endpoint of the previous page.", examples=[EXAMPLE_ID]
    )


def column_values(members: EndpointBody | EndpointChange, settings: Settings) -> dict[str, Any]:
    """Return the values of columns that a body has. Raises InvalidSubmission, which names the field."""
    given = members.model_fields_set if isinstance(members, EndpointChange) else type(members).model_fields.keys()
    values: dict[str, Any] = {name: getattr(members, name) for name in given}
    if "url" in values:
        if values["url"] is None:
            raise InvalidSubmission("url", "cannot be null")
        try:
            settings.webhook_url_rules.parse(values["url"])
        except ValueError as error:
            raise InvalidSubmission("url", str(error)) from error
    if values.get("events") is not None:
        if unknown := [event for event in values["events"] if event not in SUBSCRIBABLE]:
            raise InvalidSubmission("events", f"{unknown[0]} is sent to any endpoint; name others, or none")
        values["events"] = sorted({str(event) for event in values["events"]})
    if "default" in values:
        values["is_default"] = values.pop("default")
    if "max_attempts" in values and values["max_attempts"] is None:
        values["max_attempts"] = settings.webhook_max_attempts
    return values


def split_disabled(values: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the columns of a definition, and if the endpoint is to be disabled."""
    return {name: values[name] for name in DEFINITION_COLUMNS}, bool(values["disabled"])


def to_search(query: EndpointListQuery) -> EndpointSearch:
    """Return the search of a query."""
    return EndpointSearch(query.state and str(query.state), query.event and str(query.event))


def etag(endpoint: StoredEndpoint) -> tuple[bytes, bytes]:
    """Return the header with the tag of an endpoint. It is weak: compression changes the bytes of a response."""
    return b"etag", b'W/"%d"' % endpoint.rev


def endpoint_body(
    endpoint: StoredEndpoint, secrets: Sequence[SecretTimes], root: str, new_secret: str | None = None
) -> bytes:
    """Return the response body for an endpoint: an EndpointView, or a NewSecretView with its new secret."""
    members = _summary(endpoint, root)
    members["secrets"] = [{"created_at": each.created_at, "expires_at": each.expires_at} for each in secrets]
    if new_secret is not None:
        members["secret"] = new_secret
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def list_body(query: EndpointListQuery, endpoints: Sequence[StoredEndpoint], root: str) -> bytes:
    """Return the response body for a page of endpoints: an EndpointList."""
    next_path = None
    if len(endpoints) == query.limit:
        parameters = query.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        next_path = f"{root}{PATH}?{urlencode(parameters | {'after': str(endpoints[-1].id)})}"
    views = [_summary(endpoint, root) for endpoint in endpoints]
    return orjson.dumps({"endpoints": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def _summary(endpoint: StoredEndpoint, root: str) -> dict[str, Any]:
    path = f"{root}{PATH}/{endpoint.id}"
    same = ("url", "description", "events", "include_result", "max_attempts", "state", "disabled_reason", "failures")
    times = ("disabled_at", "failing_since", "open_until", "last_success_at", "last_failure_at", "last_failure")
    return {
        "id": str(endpoint.id),
        **{name: getattr(endpoint, name) for name in (*same, *times)},
        "default": endpoint.is_default,
        "disabled": endpoint.disabled_at is not None,
        "created_at": endpoint.created_at,
        "created_by": endpoint.created_by,
        "changed_at": endpoint.changed_at,
        "links": {
            "self": path,
            "deliveries": f"{root}/webhooks/deliveries?endpoint_id={endpoint.id}",
            "rotate": f"{path}/rotate",
            "test": f"{path}/test",
        },
    }

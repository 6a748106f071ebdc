"""GET /audit: its parameters, and its pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID
from api.views.tenancy.api_keys import EXAMPLE_KEY_ID
from api.web.stored_text import StoredText
from api.web.timestamps import Timestamp
from common.domain.tenancy.audit import AuditAction
from common.store.tenancy.audit import AuditSearch

PATH = "/audit"
_EXAMPLE_TIME = "2026-01-01T00:00:00+00:00"


class AuditQuery(BaseModel):
    """The parameters of GET /audit. An entry matches if it satisfies all of them."""

    model_config = ConfigDict(extra="forbid")

    action: AuditAction | None = Field(None, description="What was done.", examples=["job.cancel"])
    subject: Annotated[StoredText, Field(min_length=1, max_length=255)] | None = Field(
        None,
        description="Who did it: `key:` and the id of an API key, or `user:` and the subject of a token.",
        examples=[f"key:{EXAMPLE_KEY_ID}"],
    )
    thing: Annotated[StoredText, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The id or the name of what was changed.", examples=[EXAMPLE_ID]
    )
    after: Timestamp | None = Field(
        None, description="Entries of this time or later. RFC 3339 with an offset.", examples=[_EXAMPLE_TIME]
    )
    before: Timestamp | None = Field(None, description="Entries before this time.", examples=[_EXAMPLE_TIME])
    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of entries on a page. Default: 50.", examples=[50]
    )
    cursor: UUID | None = Field(
        None, description="The position of the page, from `next` of the previous page. Keep the other parameters."
    )


class AuditEntryView(BaseModel):
    """An entry of the audit log."""

    id: UUID = Field(description="The id of the entry, a UUIDv7.", examples=[EXAMPLE_ID])
    at: datetime = Field(description="When it was done.")
    subject: str = Field(description="Who did it.", examples=[f"key:{EXAMPLE_KEY_ID}"])
    address: str = Field(description="The address of the client.", examples=["203.0.113.7"])
    request_id: str = Field(description="The `X-Request-ID` of the request.")
    action: AuditAction
    thing: str = Field(description="The id or the name of what was changed.", examples=[EXAMPLE_ID])
    details: dict[str, Any] = Field(description="Further facts, such as the new state.")


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryView]
    next: str | None = Field(
        description="The path of the next page. Null on the last page. A page may be short, or empty, before the last."
    )


def to_search(query: AuditQuery, tenant: int) -> AuditSearch:
    """Return the search of a query, in the log of a tenant."""
    return AuditSearch(tenant, query.action, query.subject, query.thing, query.after, query.before)


def page_body(query: AuditQuery, entries: Sequence[Mapping[str, Any]], position: UUID | None, root: str) -> bytes:
    """Return the response body for a page of entries: an AuditPage."""
    names = list(AuditEntryView.model_fields)
    views = [
        {name: entry[name] for name in names}
        | {"id": str(entry["id"]), "details": orjson.Fragment(entry["details"])}  # the driver's UUID is a subclass
        for entry in entries
    ]
    next_path = None
    if position is not None:
        parameters = query.model_dump(mode="json", exclude_unset=True) | {"cursor": str(position)}
        pairs = {name: value for name, value in parameters.items() if value is not None}
        next_path = f"{root}{PATH}?{urlencode(pairs)}"
    return orjson.dumps({"entries": views, "next": next_path}, option=orjson.OPT_UTC_Z)

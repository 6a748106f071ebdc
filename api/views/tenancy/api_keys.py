"""API keys: request bodies, validated, and responses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.web.problem_kinds import INVALID_BODY
from api.web.problems import field_problem, validated
from api.web.stored_text import StoredText
from common.domain.tenancy.api_keys import ID_CHARACTERS, ApiKey
from common.domain.tenancy.scopes import Scope

PATH = "/keys"
MAX_LIFETIME_S = 86_400 * 3_650
MAX_OVERLAP_S = 86_400 * 30
EXAMPLE_KEY_ID = "4fGh7KqLw2Zx"
EXAMPLE_KEY = f"jp_{EXAMPLE_KEY_ID}_{'x' * 43}"
KeyId = Annotated[
    str,
    Field(
        pattern=f"^[0-9A-Za-z]{{{ID_CHARACTERS}}}$", description="The public id of the key.", examples=[EXAMPLE_KEY_ID]
    ),
]


class ApiKeyBody(BaseModel):
    """A new API key."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "billing", "scopes": ["jobs:read", "jobs:write"]}]}
    )

    name: Annotated[StoredText, Field(min_length=1, max_length=100)] = Field(
        description="A name for people.", examples=["billing"]
    )
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] = Field(
        description="What the key may do; only scopes that the caller has.", examples=[["jobs:read", "jobs:write"]]
    )
    expires_in_seconds: Annotated[int, Field(strict=True, ge=1, le=MAX_LIFETIME_S)] | None = Field(
        None, description="Seconds after which the key is refused. Default: never."
    )


class ApiKeyRotationBody(BaseModel):
    """The rotation of an API key."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 3_600}]})

    overlap_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_OVERLAP_S)] = Field(
        86_400, description="Seconds for which the old key is still accepted. Default: a day."
    )


class ApiKeyView(BaseModel):
    """An API key, without its secret."""

    id: str = Field(description="The public id, which is also in the key itself.", examples=[EXAMPLE_KEY_ID])
    name: str = Field(examples=["billing"])
    tenant: str = Field(description="The name of the tenant for which the key acts.", examples=["default"])
    scopes: list[Scope]
    created_at: datetime
    created_by: str = Field(description="Who created the key.", examples=[f"key:{EXAMPLE_KEY_ID}"])
    expires_at: datetime | None = Field(description="When the key is refused. Null: never.")
    revoked_at: datetime | None = Field(description="When the key was revoked. Null: it is not.")
    last_used_at: datetime | None = Field(description="When the key was last used, within a minute. Null: not yet.")


class NewApiKeyView(ApiKeyView):
    """A new API key with its secret, which no later response has."""

    key: str = Field(
        description="The key: send it as `Authorization: Bearer …`. It is shown this once.", examples=[EXAMPLE_KEY]
    )


class ApiKeyList(BaseModel):
    """A page of API keys, oldest first."""

    keys: list[ApiKeyView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class ApiKeyListQuery(BaseModel):
    """The parameters of GET /keys."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of keys on a page. Default: 50.", examples=[50]
    )
    after: KeyId | None = Field(
        None, description="The id of the last key of the previous page.", examples=[EXAMPLE_KEY_ID]
    )


def parse_new_key(body: Any) -> ApiKeyBody:
    """Return a validated body. Raises ProblemError."""
    return validated(ApiKeyBody, body)


def parse_rotation(body: Any) -> ApiKeyRotationBody:
    """Return a validated body. Raises ProblemError."""
    return validated(ApiKeyRotationBody, body)


def check_grantable(scopes: Sequence[Scope], of_caller: frozenset[Scope]) -> None:
    """Raise ProblemError if a key would get a scope that its creator does not have."""
    missing = sorted(set(scopes) - of_caller)
    if missing:
        raise field_problem(INVALID_BODY, [("scopes", f"the caller does not have {', '.join(missing)}")], 1)


def key_view(key: ApiKey, tenant: str) -> ApiKeyView:
    """Return a key as clients see it."""
    return ApiKeyView(**_members(key, tenant))


def new_key_view(key: ApiKey, tenant: str, token: str) -> NewApiKeyView:
    """Return a new key with its token."""
    return NewApiKeyView(**_members(key, tenant), key=token)


def _members(key: ApiKey, tenant: str) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": tenant,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }

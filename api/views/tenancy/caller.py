"""The caller of a request, as it sees itself."""

from datetime import datetime

from pydantic import BaseModel, Field

from api.auth.principal import NOBODY, Principal
from common.domain.tenancy.console_sessions import ConsoleSession, SessionKind
from common.domain.tenancy.scopes import Scope


class SessionView(BaseModel):
    """The console session of a browser."""

    kind: SessionKind = Field(description="The credential with which it began.", examples=[SessionKind.API_KEY])
    expires_at: datetime = Field(description="When it ends at the latest.")
    idle_seconds: float = Field(description="Time in seconds without a request after which it ends.", examples=[3600.0])

    @classmethod
    def of(cls, session: ConsoleSession, idle_s: float) -> "SessionView":
        """Return the view of a session. `idle_s`: the time without a request after which it ends."""
        return cls(kind=session.kind, expires_at=session.expires_at, idle_seconds=idle_s)


class CallerView(BaseModel):
    """The caller of a request, and what it may do."""

    subject: str | None = Field(
        description="`key:` and the id of the API key, or `user:` and the subject of the token. Null: the API "
        "authenticates nobody.",
        examples=["key:k3yA1b2C3d4E"],
    )
    name: str | None = Field(
        description="The name of the API key, or of the person who has signed in. Null: it is not known.",
        examples=["billing"],
    )
    tenant: str = Field(description="The name of the tenant that the request acts for.", examples=["default"])
    own_tenant: str = Field(
        description="The name of the caller's own tenant: another one, if an operator acts for `tenant`.",
        examples=["default"],
    )
    scopes: list[Scope] = Field(
        description="The scopes of the caller, by name.", examples=[[Scope.JOBS_READ, Scope.JOBS_WRITE]]
    )
    may_submit: bool = Field(description="False while the tenant is draining: it submits and retries nothing.")
    session: SessionView | None = Field(
        description="The session of the browser that sent the request. Null: the request has a key or a token, or the "
        "API authenticates nobody."
    )
    version: str = Field(description="The version of the API.", examples=["0.1.0"])


class SignInView(BaseModel):
    """The ways to sign in."""

    required: bool = Field(description="False: the API authenticates nobody, so nobody needs to sign in.")
    ways: list[SessionKind] = Field(
        description="The ways that the operator has set up: `api_key` by POST /console/session, `openid` by a visit of "
        "/console/session/start.",
        examples=[[SessionKind.API_KEY]],
    )


def caller_view(principal: Principal, version: str, idle_s: float) -> CallerView:
    """Return the view of a caller. `idle_s`: the time without a request after which its session ends."""
    return CallerView(
        subject=None if principal.subject == NOBODY else principal.subject,
        name=principal.name,
        tenant=principal.tenant_name,
        own_tenant=principal.own_tenant or principal.tenant_name,
        scopes=sorted(principal.scopes),
        may_submit=not principal.is_draining,
        session=None if principal.session is None else SessionView.of(principal.session, idle_s),
        version=version,
    )

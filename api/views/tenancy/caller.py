"""The caller of a request, as it sees itself."""

from pydantic import BaseModel, Field

from api.auth.principal import NOBODY, Principal
from common.domain.tenancy.scopes import Scope


class CallerView(BaseModel):
    """Who a request comes from, and what it may do."""

    subject: str | None = Field(
        description="`key:` and the id of the API key, or `user:` and the subject of the token. Null: the API "
        "authenticates nobody.",
        examples=["key:k3yA1b2C3d4E"],
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
    version: str = Field(description="The version of the API.", examples=["0.1.0"])


def caller_view(principal: Principal, version: str) -> CallerView:
    """Return the view of a caller."""
    return CallerView(
        subject=None if principal.subject == NOBODY else principal.subject,
        tenant=principal.tenant_name,
        own_tenant=principal.own_tenant or principal.tenant_name,
        scopes=sorted(principal.scopes),
        may_submit=not principal.is_draining,
        version=version,
    )

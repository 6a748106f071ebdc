"""The caller of a request."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.web.problem_kinds import TENANT_DRAINING
from api.web.problems import ProblemError
from common.domain.tenancy.console_sessions import ConsoleSession
from common.domain.tenancy.scopes import ALL_SCOPES, Scope
from common.domain.tenancy.tenants import DEFAULT_TENANT, DEFAULT_TENANT_NAME

SCOPE_KEY = "jobproc.principal"  # of the ASGI scope
NOBODY = "anyone"  #: the subject of callers that are not authenticated; all others begin with `key:` or `user:`


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request: for which tenant it acts, and what it may do."""

    tenant: int
    tenant_name: str
    scopes: frozenset[Scope]
    subject: str  #: `key:` and the id of an API key, or the subject of a token; at most 255 characters
    is_draining: bool = False  #: its tenant submits nothing new
    own_tenant: str | None = None  #: of an operator who acts for another tenant; None: the caller acts for its own
    name: str | None = None  #: of the API key, or of the person who has signed in; None: it has none
    session: ConsoleSession | None = None  #: of the browser that sent the request; None: it sent a key or a token

    @property
    def submitted_by(self) -> str | None:
        """The subject that is stored with the jobs that it submits; None: callers are not authenticated."""
        return None if self.subject == NOBODY else self.subject

    def check_may_submit(self) -> None:
        """Raise ProblemError if the tenant submits and retries nothing."""
        if self.is_draining:
            raise ProblemError(TENANT_DRAINING)


#: The caller while JOBPROC_AUTHENTICATION is off.
ANYONE = Principal(DEFAULT_TENANT, DEFAULT_TENANT_NAME, ALL_SCOPES, NOBODY)


def principal_of(request: Request) -> Principal:
    """Return the caller of a request, whose route has let it in."""
    return cast("Principal", request.scope[SCOPE_KEY])

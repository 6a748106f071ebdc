"""The route of every path: lets a request in if its caller has the scope that the endpoint declares."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from fastapi.routing import APIRoute
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from api.auth.access import Access
from api.auth.principal import SCOPE_KEY
from api.limits.rates.request_limits import with_headers
from api.web.problems import ProblemError
from common.domain.tenancy.scopes import Scope

F = TypeVar("F", bound=Callable[..., Any])
BEARER, OPEN_ID = "bearer", "openId"  #: the names of the security schemes in the OpenAPI document
_ATTRIBUTE = "required_scope"


def requires(scope: Scope) -> Callable[[F], F]:
    """Declare the scope that callers of an endpoint need."""

    def declare(endpoint: F) -> F:
        setattr(endpoint, _ATTRIBUTE, scope)
        return endpoint

    return declare


def public(endpoint: F) -> F:
    """Declare that everyone may call an endpoint."""
    setattr(endpoint, _ATTRIBUTE, None)
    return endpoint


class SecuredRoute(APIRoute):
    """A route whose endpoint declares with `requires` or `public` who may call it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Raise TypeError if the endpoint does not declare who may call it."""
        if not hasattr(endpoint, _ATTRIBUTE):
            raise TypeError(f"{endpoint.__module__}.{endpoint.__name__} declares no scope: use requires() or public()")
        self.required_scope: Scope | None = getattr(endpoint, _ATTRIBUTE)
        if self.required_scope is not None:
            security = {"security": [{BEARER: [self.required_scope]}]}  # OpenAPI 3.1 allows roles of any scheme here
            options["openapi_extra"] = {**(options.get("openapi_extra") or {}), **security}
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it before its body is read."""
        if self.required_scope is not None:
            access = cast("Access", scope["app"].state.services.access)
            try:
                scope[SCOPE_KEY] = await access.admit(scope, self.required_scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
            send = with_headers(scope, send)
        await super().handle(scope, receive, send)

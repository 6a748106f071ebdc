"""The route of every path: lets a request in if its caller has the scope that the endpoint declares."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from fastapi.routing import APIRoute
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from api.auth.access import Access
from api.auth.principal import SCOPE_KEY
from api.auth.sessions.cookie import for_one_browser
from api.limits.rates.request_limits import with_headers
from api.web.problems import ProblemError
from common.domain.tenancy.scopes import Scope

F = TypeVar("F", bound=Callable[..., Any])
BEARER, OPEN_ID = "bearer", "openId"  #: the names of the security schemes in the OpenAPI document
_SCOPE, _PUBLIC = "required_scope", "is_public"


def requires(scope: Scope) -> Callable[[F], F]:
    """Declare the scope that callers of an endpoint need."""

    def declare(endpoint: F) -> F:
        setattr(endpoint, _SCOPE, scope)
        return endpoint

    return declare


def any_caller(endpoint: F) -> F:
    """Declare that every authenticated caller may call an endpoint, whatever its scopes."""
    setattr(endpoint, _SCOPE, None)
    return endpoint


def public(endpoint: F) -> F:
    """Declare that everyone may call an endpoint."""
    setattr(endpoint, _PUBLIC, True)
    return any_caller(endpoint)


class SecuredRoute(APIRoute):
    """A route whose endpoint declares with `requires`, `any_caller` or `public` who may call it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Raise TypeError if the endpoint does not declare who may call it."""
        if not hasattr(endpoint, _SCOPE):
            raise TypeError(f"{endpoint.__module__}.{endpoint.__name__} declares no scope: use requires() or public()")
        self.required_scope: Scope | None = getattr(endpoint, _SCOPE)
        self.is_public: bool = getattr(endpoint, _PUBLIC, False)
        if not self.is_public:
            scopes = [] if self.required_scope is None else [self.required_scope]
            security = {"security": [{BEARER: scopes}]}  # OpenAPI 3.1 allows roles of any scheme here
            options["openapi_extra"] = {**(options.get("openapi_extra") or {}), **security}
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it before its body is read."""
        if not self.is_public:
            access = cast("Access", scope["app"].state.services.access)
            try:
                scope[SCOPE_KEY] = caller = await access.admit(scope, self.required_scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
            send = with_headers(scope, send)
            if caller.session is not None:
                send = for_one_browser(send)
        await super().handle(scope, receive, send)

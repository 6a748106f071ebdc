"""The sign-in of browsers at the OpenID provider: to the provider, and back from it.

Browsers visit these routes, so they are in no OpenAPI document, and show problems as pages.
"""

import hmac

from fastapi import APIRouter, Request, Response

from api.auth.route import SecuredRoute, public
from api.auth.sessions.problem_page import problem_page
from api.auth.sessions.return_path import CONSOLE, checked_return_path
from api.auth.sessions.sign_in import PersonSignIn, SignIn
from api.limits.path_prefix import root_path
from api.services import Services, get_services
from api.web.problem_kinds import INVALID_PARAMETER, TENANT_SUSPENDED
from api.web.problems import ProblemError, field_problem
from api.web.resource_problem_kinds import SIGN_IN_EXPIRED, SIGN_IN_OFF
from api.web.responses import NO_STORE
from common.domain.tenancy.tenants import TenantState
from common.settings.access.authentication import Authentication

router = APIRouter(tags=["console"], route_class=SecuredRoute)
_SERVED = (TenantState.ACTIVE, TenantState.DRAINING)


@router.get("/console/session/start", include_in_schema=False)
@public
async def start_sign_in(request: Request) -> Response:
    """Send the browser to the provider. `return_to`: a path of the console, to which it comes back signed in."""
    services = get_services(request)
    try:
        await _check_address(services, request)
        return_path = _return_path(request)
        if services.settings.authentication is Authentication.OFF:
            return _redirect(root_path(request.scope) + return_path)
        provider = _provider(services)
        sign_in = SignIn.new(return_path)
        url = await provider.url(sign_in)
    except ProblemError as problem:
        return problem_page(request, problem)
    seconds = services.settings.oidc_sign_in_seconds
    return _redirect(
        url, services.sign_in_cookie.set(request.scope, sign_in.text, seconds, is_secure=provider.is_secure)
    )


@router.get("/console/session/callback", include_in_schema=False)
@public
async def finish_sign_in(request: Request) -> Response:
    """Begin a session for the person who comes back from the provider."""
    services = get_services(request)
    cleared = services.sign_in_cookie.clear(request.scope)
    try:
        await _check_address(services, request)
        provider = _provider(services)
        sign_in = SignIn.parse(services.sign_in_cookie.value(request.scope) or "")
        query = dict(request.query_params)
        if sign_in is None or not hmac.compare_digest(query.get("state", "").encode(), sign_in.state.encode()):
            raise ProblemError(SIGN_IN_EXPIRED)
        code = provider.check_answer(query)
        # Counted before the provider is asked, as a key before it is looked up: anybody can send codes.
        await services.request_limits.check_unknown_key(request.scope)
        if not services.directory.is_fresh:
            await services.directory.refresh()
        caller = await provider.caller(sign_in, code)
        if services.directory.tenants[caller.tenant].state not in _SERVED:
            raise ProblemError(TENANT_SUSPENDED)
        _, cookie = await services.sessions.begin(request, caller, None, is_secure=provider.is_secure)
    except ProblemError as problem:
        response = problem_page(request, problem)
        response.raw_headers += cleared
        return response
    return _redirect(root_path(request.scope) + sign_in.return_path, cookie, *cleared)


async def _check_address(services: Services, request: Request) -> None:
    if services.request_limits.counts_addresses:
        await services.request_limits.check_address(request.scope)


def _provider(services: Services) -> PersonSignIn:
    if services.person_sign_in is None:
        raise ProblemError(SIGN_IN_OFF, "The operator has configured no client of an OpenID provider.")
    return services.person_sign_in


def _return_path(request: Request) -> str:
    try:
        return checked_return_path(request.query_params.get("return_to", CONSOLE), root_path(request.scope))
    except ValueError as error:
        raise field_problem(INVALID_PARAMETER, [("return_to", str(error))], 1) from error


def _redirect(url: str, *headers: tuple[bytes, bytes]) -> Response:
    response = Response(status_code=303)
    response.raw_headers += [(b"location", url.encode("ascii")), NO_STORE, *headers]
    return response

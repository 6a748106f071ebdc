"""The sign-in and sign-out of browsers with an API key, and the ways to sign in."""

from fastapi import APIRouter, Request, Response

from api.auth.access import of_key_session
from api.auth.principal import NOBODY, principal_of
from api.auth.route import SecuredRoute, any_caller, public
from api.auth.sessions.same_origin import check_same_origin
from api.services import get_services
from api.views.tenancy.caller import CallerView, SignInView, caller_view
from api.web.problem_kinds import STORE_UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE
from api.web.problems import ProblemError, problem_responses
from api.web.request_body import check_ignored_body
from api.web.resource_problem_kinds import (
    SESSION_NEEDS_HTTPS,
    SESSION_NEEDS_KEY,
    SESSION_NOT_SAME_ORIGIN,
    SIGN_IN_OFF,
)
from api.web.responses import NO_STORE, JsonResponse
from common.domain.tenancy.console_sessions import SessionKind
from common.settings.access.authentication import Authentication

router = APIRouter(tags=["console"], route_class=SecuredRoute)
PATH = "/console/session"
_KEY_SUBJECT = "key:"
_NOTHING_TO_DO = {"description": "The API authenticates nobody, so nobody needs to sign in. Has no body."}


@router.get(f"{PATH}/", include_in_schema=False)
@router.get(PATH)
@public
async def get_sign_in(request: Request) -> SignInView:
    """Retrieve the ways to sign in. Everyone may ask."""
    services = get_services(request)
    required = services.settings.authentication is not Authentication.OFF
    ways = []
    if required and services.settings.console_sign_in:
        ways = [SessionKind.API_KEY, *([SessionKind.OPENID] if services.settings.oidc_client_id else [])]
    return SignInView(required=required, ways=ways)


@router.post(f"{PATH}/", status_code=201, include_in_schema=False)
@router.post(
    PATH,
    status_code=201,
    response_model=CallerView,
    responses={
        204: _NOTHING_TO_DO,
        **problem_responses(
            SESSION_NEEDS_KEY,
            SESSION_NEEDS_HTTPS,
            SESSION_NOT_SAME_ORIGIN,
            SIGN_IN_OFF,
            UNSUPPORTED_MEDIA_TYPE,
            STORE_UNAVAILABLE,
        ),
    },
)
@any_caller
async def create_console_session(request: Request) -> Response:
    """Sign a browser in with the API key in the Authorization header. The response sets its cookie.

    Scripts cannot read the cookie. The session has the scopes of the key, and ends with it.
    """
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    if caller.subject == NOBODY:
        return Response(status_code=204)
    if not services.settings.console_sign_in:
        raise ProblemError(SIGN_IN_OFF)
    key_id = caller.subject.removeprefix(_KEY_SUBJECT)
    known = services.directory.keys.get(key_id)
    if caller.session is not None or known is None or not caller.subject.startswith(_KEY_SUBJECT):
        raise ProblemError(SESSION_NEEDS_KEY)
    check_same_origin(request.scope, or_no_browser=True)
    is_secure = services.sessions.cookie.is_secure(request.scope)
    session, cookie = await services.sessions.begin(request, known.principal, key_id, is_secure=is_secure)
    signed_in = of_key_session(known, session)
    view = caller_view(signed_in, request.app.version, services.settings.session_idle_seconds)
    return JsonResponse(view.model_dump_json().encode(), 201, [NO_STORE, cookie])


@router.delete(f"{PATH}/", status_code=204, include_in_schema=False)
@router.delete(
    PATH,
    status_code=204,
    responses=problem_responses(SESSION_NOT_SAME_ORIGIN, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE),
)
@any_caller
async def end_console_session(request: Request) -> Response:
    """Sign out: end the session of the browser. Every process refuses it within five seconds.

    A request with a key or a token ends nothing.
    """
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    if caller.session is not None:
        await services.sessions.end(request, caller.session)
    response = Response(status_code=204)
    response.raw_headers += [NO_STORE, *services.sessions.cookie.clear(request.scope)]
    return response

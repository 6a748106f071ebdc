"""The caller of a request."""

from fastapi import APIRouter, Request

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, any_caller
from api.services import get_services
from api.views.tenancy.caller import CallerView, caller_view

router = APIRouter(tags=["tenants"], route_class=SecuredRoute)


@router.get("/me/", include_in_schema=False)
@router.get("/me")
@any_caller
async def get_caller(request: Request) -> CallerView:
    """Retrieve the caller of the request: its tenant, its scopes, and the session of its browser. Needs no scope."""
    idle_s = get_services(request).settings.session_idle_seconds
    return caller_view(principal_of(request), request.app.version, idle_s)

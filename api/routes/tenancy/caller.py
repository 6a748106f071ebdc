"""The caller of a request."""

from fastapi import APIRouter, Request

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, any_caller
from api.views.tenancy.caller import CallerView, caller_view

router = APIRouter(tags=["tenants"], route_class=SecuredRoute)


@router.get("/me/", include_in_schema=False)
@router.get("/me")
@any_caller
async def get_caller(request: Request) -> CallerView:
    """Retrieve the caller of the request: its tenant, and the scopes that it has. Needs no scope."""
    return caller_view(principal_of(request), request.app.version)

"""The name of the installation and its links, for a console."""

from fastapi import APIRouter, Request

from api.auth.route import SecuredRoute, any_caller
from api.services import get_services
from api.views.tenancy.console_settings import ConsoleSettingsView, console_settings_view

router = APIRouter(tags=["tenants"], route_class=SecuredRoute)


@router.get("/console/settings/", include_in_schema=False)
@router.get("/console/settings")
@any_caller
async def get_console_settings(request: Request) -> ConsoleSettingsView:
    """Retrieve the name of the installation, and the templates of links about its jobs. Needs no scope."""
    return console_settings_view(get_services(request).settings, request.app.version)

"""The usage of the caller's tenant, and its quotas."""

from fastapi import APIRouter, Request

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.services import get_services
from api.views.tenancy.usage import QuotaView, TenantUsageView, usage_view
from api.web.problem_kinds import STORE_UNAVAILABLE
from api.web.problems import problem_responses
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.tenancy import usage

router = APIRouter(tags=["tenants"], route_class=SecuredRoute)


@router.get("/usage/", include_in_schema=False)
@router.get("/usage", responses=problem_responses(STORE_UNAVAILABLE))
@requires(Scope.JOBS_READ)
async def get_usage(request: Request) -> TenantUsageView:
    """Retrieve the quotas of the caller's tenant, and what it uses of them."""
    services, caller = get_services(request), principal_of(request)
    quotas = services.quotas
    limits, used, schedules = await services.pool.run(
        lambda connection: usage.of_tenant(connection, caller.tenant, quotas.usage.default), Lane.BY_ID
    )
    default = services.settings.default_max_schedules or None
    most = default if schedules.limit is None else schedules.limit
    submitted = quotas.submitted(caller.tenant, limits.jobs_per_minute)
    view = QuotaView(limit=most, used=schedules.used)
    return usage_view(caller.tenant_name, limits, used, submitted, view)

"""List the deliveries of webhooks, and deliver an event once more."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.auth.auditing import audit_entry, change_audited_sync
from api.auth.expensive_read import until_disconnected
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.routes.webhooks.endpoints import accepted
from api.schemas import JobAccepted
from api.services import get_services
from api.views.cursors import Cursors
from api.views.webhooks.deliveries import DeliveryList, DeliveryListQuery, list_body
from api.web.problem_kinds import (
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body
from api.web.resource_problem_kinds import DELIVERY_NOT_FOUND
from api.web.responses import JsonResponse
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.listing import job_list
from common.store.listing.index_scan import JobPage, ScanLimits
from common.store.webhooks import endpoints

router = APIRouter(tags=["webhooks"], route_class=SecuredRoute)


@router.get("/webhooks/deliveries/", include_in_schema=False)
@router.get(
    "/webhooks/deliveries",
    response_model=DeliveryList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.WEBHOOKS)
async def list_webhook_deliveries(request: Request, query: Annotated[DeliveryListQuery, Query()]) -> Response:
    """List deliveries, those of the newest jobs and batches first.

    Each is a job, whose attempts GET /jobs/{job_id} shows. A page scans at most JOBPROC_LIST_SCAN_JOBS rows, so one may
    be short; `next` then continues from there.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    settings, cursors = services.settings, Cursors(services.settings, tenant)
    after = cursors.position(query.to_search(), query.cursor)
    limits = ScanLimits(query.limit, settings.list_scan_jobs, settings.max_clock_skew_seconds)

    def read(connection: Connection) -> tuple[JobPage, dict[UUID, dict[str, Any] | None]]:
        """Read a page of jobs, and their events."""
        page = job_list.page(connection, tenant, query.to_search(), after, limits)
        return page, endpoints.inputs(connection, tenant, [UUID(str(job["id"])) for job in page.jobs])

    page, inputs = await services.pool.run_sync(read, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
    return JsonResponse(list_body(query, page, inputs, cursors, root_path(request.scope)))


@router.post("/webhooks/deliveries/{delivery_id}/redeliver/", status_code=202, include_in_schema=False)
@router.post(
    "/webhooks/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=JobAccepted,
    responses=problem_responses(
        DELIVERY_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE, TENANT_DRAINING
    ),
)
@requires(Scope.WEBHOOKS)
async def redeliver_webhook(delivery_id: UUID, request: Request) -> Response:
    """Deliver an event once more, in a job of its own, whatever the state of the first. Not safe to repeat.

    The message has the same `webhook-id`, by which its receiver knows it.
    """
    services, caller, new_id = get_services(request), principal_of(request), new_job_id_now()
    caller.check_may_submit()
    await check_ignored_body(request, services.settings)

    def redeliver(connection: Connection) -> tuple[None, bool]:
        """Store the delivery."""
        endpoints.redeliver(connection, caller.tenant, delivery_id, new_id, caller.submitted_by)
        return None, True

    entry = audit_entry(request, AuditAction.WEBHOOK_REDELIVER, delivery_id, {"job_id": str(new_id)})
    await change_audited_sync(services.pool, entry, redeliver)
    return accepted(services, new_id)

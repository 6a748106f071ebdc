"""Read the audit log."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth.expensive_read import ExpensiveReadRoute, until_disconnected
from api.auth.principal import principal_of
from api.auth.route import requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.tenancy.audit import AuditPage, AuditQuery, page_body, to_search
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS, INVALID_PARAMETER
from api.web.problems import problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.tenancy import audit

router = APIRouter(tags=["audit"], route_class=ExpensiveReadRoute)


@router.get("/audit/", include_in_schema=False)
@router.get(
    "/audit", response_model=AuditPage, responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS)
)
@requires(Scope.AUDIT)
async def list_audit_entries(request: Request, query: Annotated[AuditQuery, Query()]) -> Response:
    """List what callers have changed: cancels, retries, bulk actions, API keys, tenants. Newest first.

    Who submitted a job is in the job itself (`submitted_by`). Entries are kept for JOBPROC_AUDIT_DAYS.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    entries, position = await services.pool.run(
        lambda connection: audit.page(connection, to_search(query, tenant), query.cursor, query.limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        tenant,
    )
    return JsonResponse(page_body(query, entries, position, root_path(request.scope)))

"""List the error groups of failed jobs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth.expensive_read import ExpensiveReadRoute, until_disconnected
from api.auth.principal import principal_of
from api.auth.route import requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.error_groups import ErrorList, ErrorListQuery, error_list
from api.views.job_list import page_limit
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS, INVALID_PARAMETER
from api.web.problems import problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.listing import error_groups

router = APIRouter(tags=["jobs"], route_class=ExpensiveReadRoute)


@router.get("/errors/", include_in_schema=False)
@router.get(
    "/errors",
    response_model=ErrorList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.JOBS_READ)
async def list_errors(request: Request, query: Annotated[ErrorListQuery, Query()]) -> Response:
    """List error groups: the `FAILED` jobs by operation, error type and normalised text, the largest group first.

    The response is of the newest failures: at most JOBPROC_ERRORS_SCAN_JOBS ends of failed and cancelled jobs are
    scanned. The filter `error_group` of GET /jobs and of bulk actions has the jobs of a group, without that limit. A
    job that was retried is in no group while it runs, and afterwards by its newest outcome.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    search, limit = query.to_search(tenant), page_limit(query.limit, services.settings)
    found = await services.pool.run_sync(
        partial(error_groups.read, search=search, scan_limit=services.settings.errors_scan_jobs, limit=limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        tenant,
    )
    return JsonResponse(error_list(found, root_path(request.scope)).model_dump_json().encode())

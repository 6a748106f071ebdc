"""List jobs, follow a page of the list, and list the error groups of failed ones."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth.access import check_scope
from api.auth.expensive_read import ExpensiveReadRoute, until_disconnected
from api.auth.principal import principal_of
from api.auth.route import requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.errors.groups import ErrorList, ErrorListQuery, error_list
from api.views.job_list import JobList, JobListQuery, JobListRequest, page_limit, scan_limit
from api.watch.shared import list_events
from api.watch.shared.stream import SharedStream
from api.watch.shared.watched_list import ListKey
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS, INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS
from api.web.problems import field_problem, problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.listing import error_groups, job_list
from common.store.listing.index_scan import ScanLimits

router = APIRouter(tags=["jobs"], route_class=ExpensiveReadRoute)
_LINK = {
    "description": 'Links (RFC 8288) to the next page (rel="next") and to the first one (rel="first").',
    "schema": {"type": "string"},
}
_RESPONSES = {**problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS), 200: {"headers": {"Link": _LINK}}}
_STREAM_RESPONSES = {
    **problem_responses(INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS, *EXPENSIVE_READ_PROBLEMS),
    **list_events.RESPONSES,
}


@router.get("/jobs", include_in_schema=False)
@router.get("/jobs/", response_model=JobList, responses=_RESPONSES)
@requires(Scope.JOBS_READ)
async def list_jobs(request: Request, query: Annotated[JobListQuery, Query()]) -> Response:
    """List jobs that match all filters, newest first by default.

    Follow `next` to page through the list. Each job that existed when you began, and that matches throughout, is
    returned exactly once. A page scans at most JOBPROC_LIST_SCAN_JOBS rows (`scanned`), with the filter `input` at
    most JOBPROC_LIST_SCAN_INPUTS. If few jobs match, a page may be short or even empty; `next` then continues from
    there.
    """
    services, caller = get_services(request), principal_of(request)
    settings, tenant = services.settings, caller.tenant
    listing = JobListRequest(query, request, tenant, settings)
    if listing.search.input:
        check_scope(caller, Scope.JOBS_PAYLOAD)  # the filter would tell what is in the inputs
    limits = ScanLimits(listing.limit, scan_limit(listing.search, settings), settings.max_clock_skew_seconds)
    body = listing.response_body(
        await services.pool.run_sync(
            partial(job_list.page, tenant=tenant, search=listing.search, after=listing.after, limits=limits),
            Lane.EXPENSIVE,
            partial(until_disconnected, request),
            tenant,
        )
    )
    return JsonResponse(
        body.model_dump_json().encode(), headers=[(b"link", listing.link_header(body.next).encode("ascii"))]
    )


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


@router.get("/jobs/events/", include_in_schema=False)
@router.get(
    "/jobs/events",
    response_class=Response,
    responses=_STREAM_RESPONSES,
    openapi_extra={"parameters": [list_events.LAST_EVENT_ID_PARAMETER]},
)
@requires(Scope.JOBS_READ)
async def stream_job_list(request: Request, query: Annotated[JobListQuery, Query()]) -> Response:
    """Follow a page of the list of jobs as server-sent events: its rows as they change, and the jobs that come before.

    The parameters are those of GET /jobs, with a `limit` of at most 200. The page keeps its jobs. A list is read once
    a second for all clients that follow it, and within JOBPROC_LIST_SCAN_JOBS; one that takes long is read less often.
    """
    services, caller = get_services(request), principal_of(request)
    tenant = caller.tenant
    listing = JobListRequest(query, request, tenant, services.settings)
    if listing.search.input:
        check_scope(caller, Scope.JOBS_PAYLOAD)  # as in the list
    if listing.limit > list_events.MAX_JOBS:
        raise field_problem(
            INVALID_PARAMETER, [("limit", f"is more than {list_events.MAX_JOBS}, of a followed page")], 1
        )
    scan_jobs = scan_limit(listing.search, services.settings)
    key = ListKey(tenant, listing.search, listing.after, listing.limit, root_path(request.scope), scan_jobs)
    watch = partial(
        services.lists.watch, request, key, listing.page_tail, list_events.resumed_jobs(request, listing.limit)
    )
    return SharedStream(request, watch, services.watchers, services.settings)

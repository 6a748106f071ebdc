"""Find jobs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.schemas import JobList
from api.services import get_services
from api.views.job_list import JobListQuery, JobListRequest
from api.web.problems import INVALID_PARAMETER, STORE_UNAVAILABLE, problem_responses
from api.web.responses import JsonResponse
from common.store.listing import job_list
from common.store.listing.index_scan import ScanLimits

router = APIRouter(tags=["jobs"])
_LINK = {"description": 'The next page (rel="next") and the first one, as RFC 8288 has it.', "schema": {"type": "string"}}
_ANSWERS = {**problem_responses(INVALID_PARAMETER, STORE_UNAVAILABLE), 200: {"headers": {"Link": _LINK}}}


@router.get("/jobs", include_in_schema=False)
@router.get("/jobs/", response_model=JobList, responses=_ANSWERS)
async def list_jobs(request: Request, query: Annotated[JobListQuery, Query()]) -> Response:
    """List jobs, newest first unless told otherwise, a page at a time.

    A walk along `next` sees each job that was there when it began, and that fits all the time, exactly once. A page walks at most
    JOBPROC_LIST_SCAN_JOBS rows (`scanned`): where few jobs fit it may come back short, even empty, and `next` goes on from there.
    """
    services = get_services(request)
    asked = JobListRequest(query, request, services.settings)
    bounds = ScanLimits(asked.limit, services.settings.list_scan_jobs, services.settings.max_clock_skew_seconds)
    body = asked.response_body(await services.pool.run_sync(partial(job_list.page, search=asked.search, after=asked.after, limits=bounds)))
    return JsonResponse(body.model_dump_json().encode(), headers=[(b"link", asked.link_header(body.next).encode("ascii"))])

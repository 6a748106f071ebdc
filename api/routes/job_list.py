"""Find jobs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.schemas import JobList
from api.services import services
from api.views.job_list import Listing, ListQuery
from api.web.problems import INVALID_ID, UNAVAILABLE, documented
from api.web.responses import Json
from common.store.listing import job_list
from common.store.listing.index_scan import Bounds

router = APIRouter(tags=["jobs"])
_LINK = {"description": 'The next page (rel="next") and the first one, as RFC 8288 has it.', "schema": {"type": "string"}}
_ANSWERS = {**documented(INVALID_ID, UNAVAILABLE), 200: {"headers": {"Link": _LINK}}}


@router.get("/jobs", include_in_schema=False)
@router.get("/jobs/", response_model=JobList, responses=_ANSWERS)
async def jobs(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """List jobs, newest first unless told otherwise, a page at a time.

    A walk along `next` sees each job that was there when it began, and that fits all the time, exactly once. A page walks at most
    JOBPROC_LIST_SCAN_JOBS rows (`scanned`): where few jobs fit it may come back short, even empty, and `next` goes on from there.
    """
    to = services(request)
    asked = Listing(query, request, to.settings)
    bounds = Bounds(asked.limit, to.settings.list_scan_jobs, to.settings.max_clock_skew_seconds)
    body = asked.body(await to.pool.run_sync(partial(job_list.page, search=asked.search, beyond=asked.beyond, bounds=bounds)))
    return Json(body.model_dump_json().encode(), headers=[(b"link", asked.link(body.next).encode("ascii"))])

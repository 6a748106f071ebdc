"""Follow the overview of a tenant: its queues, the worker processes, and the bulk actions that run."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.services import get_services
from api.views.queues.live import BULK_ACTIONS, MAX_RUNNING_JOBS, PARTS
from api.watch.job_stream import MEDIA_TYPE
from api.watch.shared.stream import SharedStream
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS, TOO_MANY_WAITING_CLIENTS
from api.web.problems import problem_responses
from common.domain.tenancy.scopes import Scope
from common.store.bulk_actions.running import MAX_RUNNING

router = APIRouter(tags=["queues"], route_class=SecuredRoute)
_EXAMPLE = """retry: 1000

event: hello
data: {"version":"0.1.0","time":"2026-01-12T09:52:37.151042+00:00"}

event: stats
data: {"queues":[{"queue":"default","queued":120,"running":8,"oldest_due_seconds":2.5,"workers_alive":4,\
"accepted_per_second":42.0,"succeeded_per_second":{"last_minute":41.7,"last_5_minutes":40.2,"last_15_minutes":12.9},\
"failed_per_second":{"last_minute":0.0,"last_5_minutes":0.1,"last_15_minutes":0.0}}]}

event: workers
data: {"alive":4,"busy":1,"claimed_jobs":8,"jobs":[{"worker":4,"host":"jobproc-worker-7f9c","pid":17,\
"job_id":"019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10","operation":"square_sum","attempt":1,\
"claimed_at":"2026-01-12T09:52:36.151042Z"}]}

event: bulk_actions
data: {"bulk_actions":[{"bulk_action_id":"019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11","action":"retry","phase":"RUNNING",\
"count":2978,"count_is_exact":true,"matched":602,"done":600,"undone":0,"jobs_per_second":300,"progress":0.2022}]}

"""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problem_responses(TOO_MANY_WAITING_CLIENTS, *EXPENSIVE_READ_PROBLEMS),
    200: {
        "description": "A stream: `hello`, with the version and the time of the server, then each part, and again when "
        "it has changed. `stats`: as GET /stats. `workers`: the number of worker processes with a valid lease, of "
        f"those that run a job, and the jobs of the tenant that they have claimed, the {MAX_RUNNING_JOBS} oldest ones "
        f"with their process. `bulk_actions`: those that change jobs now, up to {MAX_RUNNING}, for callers with the "
        "scope `bulk`. Lines that begin with a colon are heartbeats. The stream has no ids: a resumed one begins with "
        "all parts.",
        "content": {MEDIA_TYPE: {"examples": {"overview": {"value": _EXAMPLE}}}},
    },
}


@router.get("/live/", include_in_schema=False)
@router.get("/live", response_class=Response, responses=_RESPONSES)
@requires(Scope.QUEUES)
async def stream_overview(request: Request) -> Response:
    """Follow the queues of the caller's tenant, the worker processes and running bulk actions as server-sent events.

    Each part is read once a second for all clients of a tenant, and only while one follows it.
    """
    services, caller = get_services(request), principal_of(request)
    names = (*PARTS, BULK_ACTIONS) if Scope.BULK in caller.scopes else PARTS
    watch = partial(services.live.watch, request, caller.tenant, names)
    return SharedStream(request, watch, services.watchers, services.settings)

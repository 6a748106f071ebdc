"""Statistics of the queues, for users without Prometheus."""

from fastapi import APIRouter, Request

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.schemas import QueueStatsView
from api.services import get_services
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS
from api.web.problems import problem_responses
from common.domain.scopes import Scope

router = APIRouter(tags=["queues"], route_class=SecuredRoute)


@router.get("/stats/", include_in_schema=False)
@router.get("/stats", responses=problem_responses(*EXPENSIVE_READ_PROBLEMS))
@requires(Scope.QUEUES)
async def get_queue_stats(request: Request) -> QueueStatsView:
    """Retrieve the depth, age, workers and rates of each queue, of the jobs of the caller's tenant.

    The statistics are up to a second old. While there are several tenants, rates of ended jobs are those of the 2,000
    newest jobs.
    """
    services = get_services(request)
    return await services.queue_stats.read(principal_of(request).tenant)

"""List operations, the statistics of their queues, and the worker processes that run them."""

from fastapi import APIRouter, Request

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.schemas import QueueStatsView
from api.services import get_services
from api.views.operations import OperationList
from api.views.queues.workers import WorkerList
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS
from api.web.problems import problem_responses
from common.domain.tenancy.scopes import Scope

router = APIRouter(route_class=SecuredRoute)


@router.get("/operations/", include_in_schema=False)
@router.get("/operations", tags=["operations"], responses=problem_responses(*EXPENSIVE_READ_PROBLEMS))
@requires(Scope.JOBS_READ)
async def list_operations(request: Request) -> OperationList:
    """List the operations that can be submitted.

    Each has its input schema, its defaults, the number of workers that run it, and the recent resource usage of its
    jobs. The list is up to five seconds old.
    """
    services = get_services(request)
    return await services.operation_list.read(principal_of(request).tenant)


@router.get("/stats/", include_in_schema=False)
@router.get("/stats", tags=["queues"], responses=problem_responses(*EXPENSIVE_READ_PROBLEMS))
@requires(Scope.QUEUES)
async def get_queue_stats(request: Request) -> QueueStatsView:
    """Retrieve the depth, age, workers and rates of each queue, of the jobs of the caller's tenant.

    The statistics are up to a second old. While there are several tenants, rates of ended jobs are those of the 2,000
    newest jobs.
    """
    services = get_services(request)
    return await services.queue_stats.read(principal_of(request).tenant)


@router.get("/workers/", include_in_schema=False)
@router.get("/workers", tags=["queues"], responses=problem_responses(*EXPENSIVE_READ_PROBLEMS))
@requires(Scope.QUEUES)
async def list_workers(request: Request) -> WorkerList:
    """List the worker processes, each with the jobs of the caller's tenant that it has claimed.

    The list is up to a second old. Processes whose lease has ended are listed for an hour.
    """
    services = get_services(request)
    return await services.worker_list.read(principal_of(request).tenant)

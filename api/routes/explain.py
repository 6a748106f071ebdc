"""Explain why a job is not running."""

from functools import partial
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request

from api.auth.expensive_read import ExpensiveReadRoute, until_disconnected
from api.auth.principal import principal_of
from api.auth.route import requires
from api.services import get_services
from api.views.explanation import ExplainInput, Explanation, explanation
from api.web.problem_kinds import EXPENSIVE_READ_PROBLEMS, INVALID_PARAMETER, JOB_NOT_FOUND
from api.web.problems import problem_responses
from common.domain.errors import JobNotFound
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.queues import explain
from common.store.queues.policies_of_job import policies_of_job
from common.store.workflows import reads

router = APIRouter(tags=["jobs"], route_class=ExpensiveReadRoute)
MAX_BLOCKERS = 5  # parents that are named
MAX_ATTEMPTS = 1_000  # read for the times that a job has waited


@router.get("/jobs/{job_id}/explain/", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/explain", responses=problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS)
)
@requires(Scope.JOBS_READ)
async def explain_job(job_id: UUID, request: Request) -> Explanation:
    """Explain why a job is not running.

    The response has every reason that applies, evaluated with the same conditions as a worker's claim. It also has the
    job's position in its queue, its expected start, and the time it has spent waiting, by cause.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    settings = services.settings
    count_limit, most_running = settings.queue_count_limit, settings.default_max_running_jobs

    async def read(connection: asyncpg.Connection) -> ExplainInput:
        """Read the state, the runs and the attempts of the job."""
        # The unfinished job first: if it ends in between, the statements that follow find its end.
        unfinished = await explain.unfinished_job(connection, tenant, job_id, count_limit, most_running)
        if unfinished is not None:
            unfinished["policies"] = await policies_of_job(connection, tenant, job_id)
        starts = await explain.run_starts(connection, tenant, job_id)
        attempts = await explain.attempt_times(connection, tenant, job_id, MAX_ATTEMPTS)
        outcome = None if unfinished else await explain.last_outcome(connection, tenant, job_id)
        is_blocked = unfinished is not None and unfinished["blocked"]
        blockers = await reads.blockers(connection, tenant, job_id, MAX_BLOCKERS) if is_blocked else ()
        return ExplainInput(job_id, starts, attempts, unfinished, outcome, blockers)

    job = await services.pool.run(read, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
    if not job.run_starts or (job.unfinished is None and job.last_outcome is None):
        raise JobNotFound
    stats = (await services.queue_stats.read(tenant)).queues if job.unfinished else []
    queues = {queue.queue: queue for queue in stats}
    return explanation(job, queues.get(job.unfinished["queue"]) if job.unfinished else None, count_limit)

"""Why a job is not running."""

from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request

from api.services import get_services
from api.views.explanation import ExplainInput, Explanation, explanation
from api.web.problems import INVALID_PARAMETER, JOB_NOT_FOUND, STORE_UNAVAILABLE, problem_responses
from common.domain.errors import JobNotFound
from common.store.queues import explain

router = APIRouter(tags=["jobs"])
MOST_ATTEMPTS = 1_000  # looked at for what a job has waited for


@router.get("/jobs/{job_id}/explain/", include_in_schema=False)
@router.get("/jobs/{job_id}/explain", responses=problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE))
async def explain_job(job_id: UUID, request: Request) -> Explanation:
    """Say why a job is not running, by the very conditions under which a worker takes one: its place, when it may start, what it has waited for."""
    services = get_services(request)
    cap = services.settings.gauge_cap_jobs

    async def look(connection: asyncpg.Connection) -> ExplainInput:
        """Read what the store knows."""
        # Waiting first: what ends in between is found by the statements after it.
        live = await explain.unfinished_job(connection, job_id, cap)
        starts, ran = await explain.run_starts(connection, job_id), await explain.attempt_times(connection, job_id, MOST_ATTEMPTS)
        return ExplainInput(job_id, starts, ran, live, None if live else await explain.last_outcome(connection, job_id))

    seen = await services.pool.run(look)
    if not seen.run_starts or (seen.unfinished is None and seen.last_outcome is None):
        raise JobNotFound
    queues = {one.queue: one for one in (await services.queue_stats.read()).queues} if seen.unfinished else {}
    return explanation(seen, queues.get(seen.unfinished["queue"]) if seen.unfinished else None, cap)

"""Why a job is not running."""

from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request

from api.services import services
from api.views.explanation import Explanation, Seen, explanation
from api.web.problems import INVALID_ID, JOB_NOT_FOUND, UNAVAILABLE, documented
from common.domain.errors import JobNotFound
from common.store.queues import explain

router = APIRouter(tags=["jobs"])
MOST_ATTEMPTS = 1_000  # looked at for what a job has waited for


@router.get("/jobs/{job_id}/explain/", include_in_schema=False)
@router.get("/jobs/{job_id}/explain", responses=documented(JOB_NOT_FOUND, INVALID_ID, UNAVAILABLE))
async def explain_job(job_id: UUID, request: Request) -> Explanation:
    """Say why a job is not running, by the very conditions under which a worker takes one: its place, when it may start, what it has waited for."""
    to = services(request)
    cap = to.settings.gauge_cap_jobs

    async def look(connection: asyncpg.Connection) -> Seen:
        """Read what the store knows."""
        # Waiting first: what ends in between is found by the statements after it.
        live = await explain.waiting(connection, job_id, cap)
        starts, ran = await explain.starts(connection, job_id), await explain.ran(connection, job_id, MOST_ATTEMPTS)
        return Seen(job_id, starts, ran, live, None if live else await explain.end(connection, job_id))

    seen = await to.pool.read(look)
    if not seen.starts or (seen.waiting is None and seen.end is None):
        raise JobNotFound
    queues = {one.queue: one for one in (await to.queues.read()).queues} if seen.waiting else {}
    return explanation(seen, queues.get(seen.waiting["queue"]) if seen.waiting else None, cap)

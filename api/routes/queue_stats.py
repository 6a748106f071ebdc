"""How the queues are, for people without Prometheus."""

from fastapi import APIRouter, Request

from api.schemas import QueueStatsView
from api.services import get_services
from api.web.problems import STORE_UNAVAILABLE, problem_responses

router = APIRouter(tags=["queues"])


@router.get("/stats/", include_in_schema=False)
@router.get("/stats", responses=problem_responses(STORE_UNAVAILABLE))
async def get_queue_stats(request: Request) -> QueueStatsView:
    """Return of each queue how deep and how late it is, how many workers serve it, how quickly jobs come and end. Up to a second old."""
    services = get_services(request)
    return await services.queue_stats.read()

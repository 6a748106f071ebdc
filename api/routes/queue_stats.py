"""How the queues are, for people without Prometheus."""

from fastapi import APIRouter, Request

from api.schemas import Stats
from api.services import services
from api.web.problems import UNAVAILABLE, documented

router = APIRouter(tags=["queues"])


@router.get("/stats/", include_in_schema=False)
@router.get("/stats", responses=documented(UNAVAILABLE))
async def stats(request: Request) -> Stats:
    """Return of each queue how deep and how late it is, how many workers serve it, how quickly jobs come and end. Up to a second old."""
    to = services(request)
    return await to.queues.read()

"""How the queues are, for people without Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.dependencies import Services, services
from api.problems import UNAVAILABLE, documented
from api.schemas import Stats

router = APIRouter(tags=["queues"])


@router.get("/stats/", include_in_schema=False)
@router.get("/stats", responses=documented(UNAVAILABLE))
async def stats(to: Annotated[Services, Depends(services)]) -> Stats:
    """Return of each queue how deep and how late it is, how many workers serve it, how quickly jobs come and end. Up to a second old."""
    return await to.queues.read()

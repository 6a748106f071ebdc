"""What can be submitted."""

from fastapi import APIRouter, Request

from api.services import services
from api.views.operations import OperationList
from api.web.problems import UNAVAILABLE, documented

router = APIRouter(tags=["operations"])


@router.get("/operations/", include_in_schema=False)
@router.get("/operations", responses=documented(UNAVAILABLE))
async def operations(request: Request) -> OperationList:
    """Return each operation: its input schema, its defaults, how many workers run it, what its jobs took lately. Up to five seconds old."""
    to = services(request)
    return await to.catalogue.read()

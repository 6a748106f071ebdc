"""What can be submitted."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.catalogue import OperationList
from api.dependencies import Services, services
from api.problems import UNAVAILABLE, documented

router = APIRouter(tags=["operations"])


@router.get("/operations/", include_in_schema=False)
@router.get("/operations", responses=documented(UNAVAILABLE))
async def operations(to: Annotated[Services, Depends(services)]) -> OperationList:
    """Return each operation: its input schema, its defaults, how many workers run it, what its jobs took lately. Up to five seconds old."""
    return await to.catalogue.read()

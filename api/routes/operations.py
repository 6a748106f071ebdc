"""What can be submitted."""

from fastapi import APIRouter, Request

from api.services import get_services
from api.views.operations import OperationList
from api.web.problems import STORE_UNAVAILABLE, problem_responses

router = APIRouter(tags=["operations"])


@router.get("/operations/", include_in_schema=False)
@router.get("/operations", responses=problem_responses(STORE_UNAVAILABLE))
async def list_operations(request: Request) -> OperationList:
    """Return each operation: its input schema, its defaults, how many workers run it, what its jobs took lately. Up to five seconds old."""
    services = get_services(request)
    return await services.operation_list.read()

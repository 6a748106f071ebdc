"""Whether this process lives, and whether it can take submissions."""

import time

from fastapi import APIRouter, Request

from api.schemas import CheckView, LivenessView, ReadinessView
from api.services import Services, get_services
from api.web.problems import NOT_READY, ProblemError, problem_responses
from common.domain.errors import StoreUnavailable
from common.migrations import head
from common.store.jobs import reads

router = APIRouter(tags=["health"])


@router.get("/livez/", include_in_schema=False)
@router.get("/livez", responses=problem_responses())
async def get_liveness() -> LivenessView:
    """Say that this process answers. Says nothing of the database: a restart would not bring that back."""
    return LivenessView(alive=True)


@router.get("/readyz/", include_in_schema=False)
@router.get("/readyz", responses=problem_responses(NOT_READY))
async def get_readiness(request: Request) -> ReadinessView:
    """Check the database, that its schema is at this version's head or past it, and that the clocks agree.

    Redis is not asked: submissions are stored without it.
    """
    services = get_services(request)
    checks = await _checks(services)
    ready = all(check.ok for check in checks)
    if not ready:
        missing = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok)
        raise ProblemError(NOT_READY, missing, ready=False, checks=[check.model_dump() for check in checks])
    return ReadinessView(ready=ready, checks=checks)


async def _checks(services: Services) -> list[CheckView]:
    wanted = head()
    try:
        revision, database_s = await services.pool.run(reads.readiness)
    except StoreUnavailable as error:
        cause = type(error.__cause__).__name__
        if cause == "UndefinedTableError":
            return [
                CheckView(name="database", ok=True, detail="answers"),
                CheckView(name="migrations", ok=False, detail=f"the schema is missing; run migrations up to {wanted}"),
            ]
        return [CheckView(name="database", ok=False, detail=f"does not answer ({cause})")]
    skew = abs(database_s - time.time())
    limit = services.settings.max_clock_skew_seconds
    # Newer than this code is fine: migrations expand first, old code runs on the new schema.
    migrated = revision is not None and revision >= wanted
    return [
        CheckView(name="database", ok=True, detail="answers"),
        CheckView(name="migrations", ok=migrated, detail=f"at {revision}" if migrated else f"at {revision}, {wanted} is needed; run migrations"),
        CheckView(
            name="clock",
            ok=skew <= limit,
            detail=f"within {limit:g} s of the database's" if skew <= limit else f"{skew:.0f} s from the database's; at most {limit:g} s is allowed",
        ),
    ]

"""Whether this process lives, and whether it can take submissions."""

import time

from fastapi import APIRouter, Request

from api.schemas import Check, Liveness, Readiness
from api.services import Services, services
from api.web.problems import NOT_READY, ProblemError, documented
from common.domain.errors import StoreUnavailable
from common.migrations import head
from common.store.jobs import reads

router = APIRouter(tags=["health"])


@router.get("/livez/", include_in_schema=False)
@router.get("/livez", responses=documented())
async def livez() -> Liveness:
    """Say that this process answers. Says nothing of the database: a restart would not bring that back."""
    return Liveness(alive=True)


@router.get("/readyz/", include_in_schema=False)
@router.get("/readyz", responses=documented(NOT_READY))
async def readyz(request: Request) -> Readiness:
    """Check the database, that its schema is at this version's head or past it, and that the clocks agree.

    Redis is not asked: submissions are stored without it.
    """
    to = services(request)
    checks = await _checks(to)
    ready = all(check.ok for check in checks)
    if not ready:
        missing = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok)
        raise ProblemError(NOT_READY, missing, ready=False, checks=[check.model_dump() for check in checks])
    return Readiness(ready=ready, checks=checks)


async def _checks(to: Services) -> list[Check]:
    wanted = head()
    try:
        revision, database_s = await to.pool.read(reads.readiness)
    except StoreUnavailable as error:
        cause = type(error.__cause__).__name__
        if cause == "UndefinedTableError":
            return [
                Check(name="database", ok=True, detail="answers"),
                Check(name="migrations", ok=False, detail=f"the schema is missing; run migrations up to {wanted}"),
            ]
        return [Check(name="database", ok=False, detail=f"does not answer ({cause})")]
    skew = abs(database_s - time.time())
    limit = to.settings.max_clock_skew_seconds
    # Newer than this code is fine: migrations expand first, old code runs on the new schema.
    migrated = revision is not None and revision >= wanted
    return [
        Check(name="database", ok=True, detail="answers"),
        Check(name="migrations", ok=migrated, detail=f"at {revision}" if migrated else f"at {revision}, {wanted} is needed; run migrations"),
        Check(
            name="clock",
            ok=skew <= limit,
            detail=f"within {limit:g} s of the database's" if skew <= limit else f"{skew:.0f} s from the database's; at most {limit:g} s is allowed",
        ),
    ]

"""Liveness and readiness probes of an API process, and the diagnostics of the installation."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import asyncpg
from fastapi import APIRouter, Request

from api.auth.route import SecuredRoute, public, requires
from api.schemas import CheckView, LivenessView, ReadinessView
from api.services import Services, get_services
from api.views.queues.diagnostics import DiagnosticsView, diagnostics_view
from api.web.problem_kinds import NOT_READY
from api.web.problems import ProblemError, problem_responses
from common.broker import redis_client
from common.domain.errors import StoreUnavailable
from common.domain.tenancy.scopes import Scope
from common.migrations import head
from common.store.connection.lanes import Lane
from common.store.jobs import reads
from common.store.workers import installation
from common.store.workers.installation import Installation
from common.telemetry.exposition import Probe

router = APIRouter(tags=["health"], route_class=SecuredRoute)


@router.get("/livez/", include_in_schema=False)
@router.get("/livez", responses=problem_responses())
@public
async def get_liveness() -> LivenessView:
    """Check that this process answers.

    The database is not checked: a restart of the API would not repair it.
    """
    return LivenessView(alive=True)


@router.get("/readyz/", include_in_schema=False)
@router.get("/readyz", responses=problem_responses(NOT_READY))
@public
async def get_readiness(request: Request) -> ReadinessView:
    """Check that this process can take submissions.

    The database must answer, its schema must be at this version's migration or a newer one, and the clocks must agree.
    Redis is not checked: submissions are stored without it.
    """
    services = get_services(request)
    checks = await _checks(services)
    failed = _failed_checks(checks)
    if failed is not None:
        raise ProblemError(NOT_READY, failed, ready=False, checks=[check.model_dump() for check in checks])
    return ReadinessView(ready=True, checks=checks)


@router.get("/diagnostics/", include_in_schema=False)
@router.get("/diagnostics", responses=problem_responses())
@requires(Scope.ADMIN)
async def get_diagnostics(request: Request) -> DiagnosticsView:
    """Check the parts of the installation: database, migrations, clock, connections, controller, workers, broker.

    Each check says what it found and, if it failed, what to do. A part that is away is a failed check of a response
    with status 200.
    """
    services = get_services(request)
    checks = await _checks(services)
    return diagnostics_view(
        checks, await _installation(services) if checks[-1].ok else None, await redis_client.ping(services.settings)
    )


async def _installation(services: Services) -> Installation | None:
    try:
        return await services.pool.run(installation.read, Lane.BY_ID)
    except (StoreUnavailable, asyncpg.PostgresError):
        return None  # it was there a moment ago; the next request tells


def _failed_checks(checks: Sequence[CheckView]) -> str | None:
    """Return the failed checks with their details, None if all have passed."""
    return "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok) or None


async def _checks(services: Services) -> list[CheckView]:
    """Return the checks that a process must pass to take submissions."""
    required = head()
    try:
        revision, database_s = await services.pool.run(reads.readiness, Lane.READINESS)
    except StoreUnavailable as error:
        cause = type(error.__cause__).__name__
        if cause == "UndefinedTableError":
            detail = f"the schema is missing; run migrations up to {required}"
            return [
                CheckView(name="database", ok=True, detail="answers"),
                CheckView(name="migrations", ok=False, detail=detail),
            ]
        if isinstance(reason := getattr(error.__cause__, "__cause__", None), asyncpg.PostgresError):
            detail = f"refuses the connection ({type(reason).__name__}); the log has its reason"
        else:
            detail = f"does not answer ({cause})"
        return [CheckView(name="database", ok=False, detail=detail)]
    except asyncpg.PostgresError as error:  # such as a role without its rights: no fault of this process
        detail = f"refuses the check ({type(error).__name__}); run migrations, which grant the rights of the roles"
        return [CheckView(name="database", ok=False, detail=detail)]
    skew = abs(database_s - time.time())
    limit = services.settings.max_clock_skew_seconds
    # A newer schema is fine: migrations expand first, and old code runs on the new schema.
    migrated = revision is not None and revision >= required
    return [
        CheckView(name="database", ok=True, detail="answers"),
        CheckView(
            name="migrations",
            ok=migrated,
            detail=f"at {revision}" if migrated else f"at {revision}, {required} is needed; run migrations",
        ),
        CheckView(
            name="clock",
            ok=skew <= limit,
            detail=f"within {limit:g} s of the database's"
            if skew <= limit
            else f"{skew:.0f} s from the database's; at most {limit:g} s is allowed",
        ),
    ]


class EventLoopProbes:
    """Answers probes on the port of the metrics, which clients of the API cannot fill with connections.

    A thread of that port's server asks; the checks run in the event loop of the requests.
    """

    def __init__(self, services: Services) -> None:
        """Prepare the probes for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._services = services
        self._limit_s = services.settings.probe_timeout_seconds

    @property
    def by_path(self) -> Mapping[str, Probe]:
        """The probes by their path."""
        return {"/livez": lambda: self._ask(_alive()), "/readyz": lambda: self._ask(self._ready())}

    async def _ready(self) -> str | None:
        if self._services.watchers.is_draining:
            return "the process shuts down"
        return _failed_checks(await _checks(self._services))

    def _ask(self, check: Coroutine[Any, Any, str | None]) -> str | None:
        answer = asyncio.run_coroutine_threadsafe(check, self._loop)
        try:
            return answer.result(self._limit_s)
        except TimeoutError:
            answer.cancel()
            return f"no answer within {self._limit_s:g} s"


async def _alive() -> str | None:
    return None

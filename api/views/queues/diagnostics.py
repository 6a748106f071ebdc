"""GET /diagnostics: the checks of the whole installation, each with what to do."""

from collections.abc import Iterator

from pydantic import BaseModel, Field

from api.schemas import CheckView
from common.broker.redis_client import BrokerAnswer
from common.store.workers.installation import Installation

CONNECTIONS_MAX_SHARE = 0.9  #: of the database's connections; beyond it a rollout of more pods may find none
_TODO = {
    "database": "Look at DATABASE_URL of the API, and whether PostgreSQL runs and lets its role connect; run "
    "migrations, which grant the rights of the roles.",
    "migrations": "Run `python -m common.migrate`, or wait for the migration of the release.",
    "clock": "Synchronise the clocks of the API's host and of the database's.",
    "connections": "Raise max_connections of PostgreSQL, put PgBouncer before it, or run fewer processes.",
    "controller": "Start a controller: `python -m worker.controller`, or look at the log of its pods.",
    "workers": "Start a worker: `python -m worker`, or scale its deployment.",
    "broker": "Look at REDIS_URL of the API, and whether Redis runs and lets its user connect. Jobs are taken and run "
    "meanwhile, but start up to a few seconds later.",
}


class DiagnosisView(CheckView):
    """A check of the installation."""

    name: str = Field(description="The part that is checked.", examples=["connections"])
    todo: str | None = Field(description="What to do. Null if the check passed.")


class DiagnosticsView(BaseModel):
    """The checks of the installation."""

    healthy: bool = Field(description="True if every check passed.")
    checks: list[DiagnosisView]


def diagnostics_view(
    readiness: list[CheckView], installation: Installation | None, broker: BrokerAnswer
) -> DiagnosticsView:
    """Return the checks. `readiness`: those of this process. `installation`: None if the database told nothing."""
    found = [*readiness, *(_parts(installation) if installation else _untold(readiness)), _broker(broker)]
    checks = [
        DiagnosisView(name=check.name, ok=check.ok, detail=check.detail, todo=None if check.ok else _TODO[check.name])
        for check in found
    ]
    return DiagnosticsView(healthy=all(check.ok for check in checks), checks=checks)


def _untold(readiness: list[CheckView]) -> Iterator[CheckView]:
    if all(check.ok for check in readiness):  # else they tell the reason
        yield CheckView(
            name="database", ok=False, detail="refuses to list its connections, controllers and worker processes"
        )


def _parts(installation: Installation) -> Iterator[CheckView]:
    used, most = installation.connections, installation.max_connections
    yield CheckView(
        name="connections", ok=used <= most * CONNECTIONS_MAX_SHARE, detail=f"{used} of {most} of PostgreSQL are used"
    )
    leader = installation.leader
    yield CheckView(
        name="controller",
        ok=leader is not None,
        detail=f"{leader} leads"
        if leader
        else "none leads: no schedule fires, and jobs of lost workers stay with them",
    )
    workers = installation.workers
    yield CheckView(name="workers", ok=bool(workers), detail=f"worker processes that are alive: {workers}")


def _broker(broker: BrokerAnswer) -> CheckView:
    if broker.error is not None:
        return CheckView(name="broker", ok=False, detail=f"Redis does not answer: {broker.error}")
    return CheckView(name="broker", ok=True, detail=f"Redis answers in {broker.seconds * 1_000:.1f} ms")

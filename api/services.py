"""What the routes work with: built once at start, handed over by the app."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.schemas import Stats
from api.submit.backpressure import Admission
from api.submit.doorbells import Doorbells
from api.submit.group_commit import Intake
from api.submit.operations import Operations
from api.submit.parsing import Submissions
from api.telemetry.metrics import Connections, Meters
from api.views.operations import OperationList, catalogue
from api.views.queue_stats import queues
from api.watch.watchers import Waiting
from api.web.ttl_cache import Kept
from common.settings import Settings
from common.store.connection.asyncpg_pool import Pool
from common.telemetry import traces


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one API process."""

    settings: Settings
    pool: Pool
    doorbells: Doorbells
    intake: Intake
    operations: Operations
    submissions: Submissions
    queues: Kept[Stats]
    admission: Admission
    catalogue: Kept[OperationList]
    waiting: Waiting

    @classmethod
    def start(cls, settings: Settings, meters: Meters) -> "Services":
        """Build them; nothing connects before it is needed, so the API starts without its database."""
        pool = Pool(settings)
        meters.registry.register(Connections(pool, settings.api_pool_connections))
        doorbells = Doorbells(settings, meters)
        kind = Intake
        if traces.tracer is not None:
            from api.submit.tracing import TracedIntake as kind  # noqa: N813 - one of two classes
        operations, stats = Operations(settings, pool), queues(settings, pool)
        intake = kind(settings, pool, doorbells.due, meters)
        submissions, waiting = Submissions(settings, operations), Waiting(settings, pool, meters)
        return cls(settings, pool, doorbells, intake, operations, submissions, stats, Admission(settings, stats), catalogue(pool), waiting)

    async def stop(self) -> None:
        """Close what is open."""
        await self.waiting.close()
        await self.doorbells.close()
        await self.pool.close()


def services(request: Request) -> Services:
    """Return the app's services."""
    return cast("Services", request.app.state.services)

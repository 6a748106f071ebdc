"""What the routes work with: built once at start, handed over by the app."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.admission import Admission
from api.catalogue import OperationList, catalogue
from api.doorbells import Doorbells
from api.intake import Intake
from api.kept import Kept
from api.meters import Connections, Meters
from api.operations import Operations
from api.queues import queues
from api.schemas import Stats
from api.submissions import Submissions
from api.waiting import Waiting
from common.settings import Settings
from common.store.pool import Pool
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
            from api.spans import TracedIntake as kind  # noqa: N813 - one of two classes
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

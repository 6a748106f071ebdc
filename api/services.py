"""What the routes work with: built once at start, handed over by the app."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api.schemas import QueueStatsView
from api.submit.backpressure import Backpressure
from api.submit.doorbells import Doorbells
from api.submit.group_commit import GroupCommit
from api.submit.operations import OperationCache
from api.submit.parsing import SubmissionParser
from api.telemetry.metrics import ApiMetrics, PoolGauges
from api.views.operations import OperationList, operation_list_cache
from api.views.queue_stats import queue_stats_cache
from api.watch.watchers import Watchers
from api.web.ttl_cache import TtlCache
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.telemetry import traces


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one API process."""

    settings: Settings
    pool: DatabasePool
    doorbells: Doorbells
    group_commit: GroupCommit
    operations: OperationCache
    parser: SubmissionParser
    queue_stats: TtlCache[QueueStatsView]
    backpressure: Backpressure
    operation_list: TtlCache[OperationList]
    watchers: Watchers

    @classmethod
    def start(cls, settings: Settings, meters: ApiMetrics) -> "Services":
        """Build them; nothing connects before it is needed, so the API starts without its database."""
        pool = DatabasePool(settings)
        meters.registry.register(PoolGauges(pool, settings.api_pool_connections))
        doorbells = Doorbells(settings, meters)
        kind = GroupCommit
        if traces.tracer is not None:
            from api.submit.tracing import TracedGroupCommit as kind  # noqa: N813 - one of two classes
        operations, stats = OperationCache(settings, pool), queue_stats_cache(settings, pool)
        intake = kind(settings, pool, doorbells.ring_soon, meters)
        submissions, waiting = SubmissionParser(settings, operations), Watchers(settings, pool, meters)
        return cls(settings, pool, doorbells, intake, operations, submissions, stats, Backpressure(settings, stats), operation_list_cache(pool), waiting)

    async def stop(self) -> None:
        """Close what is open."""
        await self.watchers.close()
        await self.doorbells.close()
        await self.pool.close()


def get_services(request: Request) -> Services:
    """Return the app's services."""
    return cast("Services", request.app.state.services)

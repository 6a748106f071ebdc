"""GET /live: the parts of a tenant's overview, each as JSON in one line."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from api.schemas import QueueStatsView
from api.views.queues.workers import WorkerList
from api.web.ttl_cache import TenantCache
from common.domain.bulk_actions import Phase, progress
from common.store.bulk_actions.running import running
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane

#: The parts that each caller of GET /live gets, and the one that needs the scope `bulk` as well.
PARTS = ("stats", "workers")
BULK_ACTIONS = "bulk_actions"
MAX_RUNNING_JOBS = 50  #: that the part `workers` has


def overview_parts(
    pool: DatabasePool, queue_stats: TenantCache[QueueStatsView], workers: TenantCache[WorkerList]
) -> Mapping[str, Callable[[int], Awaitable[str]]]:
    """Return what reads the parts of a tenant's overview, by the names of their events."""

    async def read_stats(tenant: int) -> str:
        """Read what GET /stats returns."""
        return (await queue_stats.read(tenant)).model_dump_json()

    async def read_workers(tenant: int) -> str:
        """Read how many worker processes there are, and what they run."""
        return orjson.dumps(_workers(await workers.read(tenant)), option=orjson.OPT_UTC_Z).decode()

    async def read_bulk_actions(tenant: int) -> str:
        """Read the bulk actions that change jobs now."""
        rows = await pool.run(lambda connection: running(connection, tenant), Lane.BY_ID)
        return orjson.dumps({"bulk_actions": [_bulk_action(row) for row in rows]}).decode()

    return {PARTS[0]: read_stats, PARTS[1]: read_workers, BULK_ACTIONS: read_bulk_actions}


def _workers(workers: WorkerList) -> dict[str, Any]:
    alive = [worker for worker in workers.workers if worker.alive]
    jobs = sorted(
        ((job, worker) for worker in alive for job in worker.jobs),
        key=lambda pair: (pair[0].claimed_at, pair[0].job_id),
    )
    return {
        "alive": len(alive),
        "busy": sum(worker.busy_since is not None for worker in alive),
        "claimed_jobs": sum(worker.claimed_jobs for worker in alive),
        "jobs": [
            {"worker": worker.worker, "host": worker.host, "pid": worker.pid, **job.model_dump()}
            for job, worker in jobs[:MAX_RUNNING_JOBS]
        ],
    }


def _bulk_action(row: dict[str, Any]) -> dict[str, Any]:
    not_undone = sum(orjson.loads(row.pop("not_undone")).values())
    shares = row["count"], row["matched"], row["done"], row["undone"] + not_undone
    return {**row, "progress": round(progress(Phase(row["phase"]), *shares), 4)}

"""GET /workers: the worker processes, cached for a second for each tenant."""

from datetime import datetime
from functools import partial

from pydantic import BaseModel, Field

from api.schemas import EXAMPLE_ID
from api.web.ttl_cache import TenantCache
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.workers import listing
from common.store.workers.listing import WorkerRow

CACHE_S = 1.0
SHOWN_JOBS = 5  #: of each process


class WorkerJobView(BaseModel):
    """A job that a worker process has claimed."""

    job_id: str = Field(description="The id of the job.", examples=[EXAMPLE_ID])
    operation: str = Field(description="The name of its operation.", examples=["square_sum"])
    attempt: int = Field(description="The number of the attempt.")
    claimed_at: datetime = Field(description="When the process claimed it.")


class WorkerView(BaseModel):
    """A worker process."""

    worker: int = Field(description="The id of the process, as attempts have it.", examples=[4])
    host: str = Field(description="The name of its host, such as a pod.", examples=["jobproc-worker-7f9c"])
    pid: int = Field(description="Its process id on the host.", examples=[17])
    alive: bool = Field(description="True while its lease is valid.")
    started_at: datetime = Field(description="When it registered.")
    alive_until: datetime = Field(description="Until when its lease is valid.")
    ended_at: datetime | None = Field(
        description="When its lease was ended: it stopped or was lost. Null: it has not. An hour later it is listed no "
        "more."
    )
    busy_since: datetime | None = Field(
        description="Since when it runs one job, as it told at the last renewal of its lease. Null: it runs none."
    )
    queues: list[str] = Field(description="The queues that it serves.", examples=[["default"]])
    operations: list[str] = Field(
        description="The operations that it knows, with their versions.", examples=[["square_sum"]]
    )
    held_jobs: int = Field(
        description="Jobs of all tenants that it has claimed and not yet ended, as it told at the last renewal."
    )
    claimed_jobs: int = Field(description="Jobs of the caller's tenant that it has claimed and not yet ended.")
    jobs: list[WorkerJobView] = Field(
        description=f"The first {SHOWN_JOBS} of them. A process runs its jobs one after the other, but those of "
        "`async def` operations at the same time."
    )


class WorkerList(BaseModel):
    """The worker processes."""

    workers: list[WorkerView] = Field(description=f"Up to {listing.MAX_WORKERS} processes, the newest first.")


def worker_list_cache(settings: Settings, pool: DatabasePool) -> TenantCache[WorkerList]:
    """Return a cache of the worker processes, which reads them at most once in CACHE_S seconds for each tenant."""

    async def load(tenant: int) -> WorkerList:
        """Read the processes, and the jobs of a tenant that they have claimed, from the database."""
        rows = await pool.run_sync(
            partial(listing.read, tenant=tenant, scanned=settings.queue_count_limit, shown=SHOWN_JOBS),
            Lane.EXPENSIVE,
            tenant=tenant,
        )
        return WorkerList(workers=[_worker_view(row) for row in rows])

    return TenantCache(load, CACHE_S)


def _worker_view(row: WorkerRow) -> WorkerView:
    return WorkerView(
        worker=row.id,
        host=row.host,
        pid=row.pid,
        alive=row.is_alive,
        started_at=row.started_at,
        alive_until=row.alive_until,
        ended_at=row.ended_at,
        busy_since=row.busy_since,
        queues=row.queues,
        operations=row.operations,
        held_jobs=row.held_jobs,
        claimed_jobs=row.claimed,
        jobs=[
            WorkerJobView(job_id=job.job_id, operation=job.operation, attempt=job.attempt, claimed_at=job.started_at)
            for job in row.jobs
        ],
    )

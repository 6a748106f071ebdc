"""The worker processes for GET /workers, with the jobs of a tenant that they have claimed."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from common.store.connection.statement import SET_QUEUE_STATS_PLANS
from common.store.queues.queue_state import QUEUES
from common.store.tenancy.line_index import LINE

KEPT = "1 hour"  #: for so long a process is listed after its lease has ended
MAX_WORKERS = 1_000  #: that are listed, the newest ones
_WORKERS = f"""
SELECT id, host, pid, queues, operations, started_at, alive_until, ended_at, busy_since, held_jobs,
       ended_at IS NULL AND alive_until > clock_timestamp()
FROM workers WHERE ended_at IS NULL OR ended_at > now() - interval '{KEPT}' ORDER BY id DESC LIMIT {MAX_WORKERS}
"""
# The claimed jobs of a line are before those that wait.
_CLAIMED = f"""
WITH {QUEUES},
claimed AS MATERIALIZED (
    SELECT job.* FROM known k
    CROSS JOIN generate_series(0, 9) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT l.id, l.worker, l.attempt, l.started_at FROM live l
        WHERE {LINE.format(queue="k.queue", tenant="$1")} AND l.priority = p.priority AND l.claimable_at <= now()
        ORDER BY l.claimable_at, l.id LIMIT $2) job
    WHERE job.worker IS NOT NULL LIMIT $2),
placed AS (
    SELECT *, row_number() OVER (PARTITION BY worker ORDER BY started_at, id) AS place,
           count(*) OVER (PARTITION BY worker) AS held
    FROM claimed)
SELECT placed.worker, placed.held, placed.id::text, j.operation, placed.attempt, placed.started_at
FROM placed JOIN jobs j ON j.id = placed.id WHERE placed.place <= $3 ORDER BY placed.worker, placed.place
"""


@dataclass(frozen=True, slots=True)
class ClaimedByWorker:
    """A job that a worker process has claimed."""

    job_id: str
    operation: str
    attempt: int
    started_at: datetime


@dataclass(slots=True)
class WorkerRow:
    """A worker process."""

    id: int
    host: str
    pid: int
    queues: list[str]
    operations: list[str]
    started_at: datetime
    alive_until: datetime
    ended_at: datetime | None
    busy_since: datetime | None  #: since when its job runs
    held_jobs: int  #: of all tenants, as it has told at its last renewal
    is_alive: bool
    jobs: list[ClaimedByWorker] = field(default_factory=list)
    claimed: int = 0  #: jobs of the tenant


def read(connection: Connection, tenant: int, scanned: int, shown: int) -> list[WorkerRow]:
    """Return the processes, the newest first, in the caller's transaction.

    Of the tenant's jobs up to `scanned` due ones of each queue and priority are read, and up to `shown` of each process
    returned.
    """
    workers = {row[0]: WorkerRow(*row) for row in connection.exec_driver_sql(_WORKERS)}
    connection.exec_driver_sql(SET_QUEUE_STATS_PLANS)
    for worker, claimed, *job in connection.exec_driver_sql(_CLAIMED, (tenant, scanned, shown)):
        if worker in workers:  # else it was registered between the two reads
            workers[worker].claimed = claimed
            workers[worker].jobs.append(ClaimedByWorker(*job))
    return list(workers.values())

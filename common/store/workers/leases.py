"""Leases of worker processes: register, renew, end. Also the progress of running attempts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.workers.fragments import LEASE_ALIVE

REGISTER = Statement(
    "register",
    "float8, int, text, text[], text[]",
    """
    INSERT INTO workers (alive_until, pid, host, queues, operations)
    VALUES (clock_timestamp() + $1 * interval '1 s', $2, $3, $4, $5) RETURNING id
    """,
)

SET_OPERATIONS = Statement(
    "set_operations", "bigint, text[]", "UPDATE workers SET operations = $2 WHERE id = $1 RETURNING id"
)

# Moves running attempts from former ids of a process to its new id. Locks rows in the order of their ids, as a settle
# does.
TAKE_OVER = Statement(
    "take_over",
    "bigint, bigint[], uuid[], smallint[]",
    """
    UPDATE live SET worker = $1, rev = live.rev + 1
    FROM (SELECT l.id FROM ROWS FROM (unnest($3), unnest($4)) AS d(id, attempt)
          JOIN live l ON l.id = d.id WHERE l.attempt = d.attempt AND l.worker = ANY ($2)
          ORDER BY l.id FOR UPDATE OF l) mine
    WHERE live.id = mine.id RETURNING live.id::text
    """,
)

# A lease that has ended is not renewed: the controller may already have released its jobs.
RENEW = Statement(
    "renew",
    "float8, bigint[], smallint[], jsonb, jsonb, float8[], jsonb",
    f"""
    UPDATE workers w
    SET alive_until = clock_timestamp() + $1 * interval '1 s', held_jobs = d.held_jobs,
        busy_since = clock_timestamp() - d.running_s * interval '1 s', low_water_marks = d.low_water_marks,
        line_marks = d.line_marks,
        finished_by_minute =
            CASE d.finished_by_minute WHEN '{{}}' THEN w.finished_by_minute ELSE d.finished_by_minute END
    FROM ROWS FROM (unnest($2), unnest($3), jsonb_array_elements($4), jsonb_array_elements($5), unnest($6),
                    jsonb_array_elements($7))
         AS d(id, held_jobs, low_water_marks, finished_by_minute, running_s, line_marks)
    WHERE w.id = d.id AND {LEASE_ALIVE}
    RETURNING w.id
    """,
)

# A worker may have written anything into its row: the times have a range.
BUSY_HOSTS = Statement(
    "busy_hosts",
    "int",
    f"""
    SELECT host, extract(epoch FROM min(busy_since))::float8,
           extract(epoch FROM clock_timestamp() - min(busy_since))::float8
    FROM workers w
    WHERE {LEASE_ALIVE} AND busy_since BETWEEN to_timestamp(0) AND now()
    GROUP BY host ORDER BY 2 LIMIT $1
    """,
)

# Not while the process holds a job, such as one that its dead connection has locked. Its lease then expires, and the
# controller rescues the job.
END = Statement(
    "end_worker",
    "bigint",
    """
    UPDATE workers SET ended_at = clock_timestamp()
    WHERE id = $1 AND ended_at IS NULL AND NOT EXISTS (SELECT FROM live WHERE worker = $1) RETURNING id
    """,
)

EXPIRED = Statement(
    "expired_workers",
    "bigint",
    """
    SELECT id FROM workers WHERE ended_at IS NULL AND alive_until < clock_timestamp()
    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
    """,
)

# True also if there is no row: no other transaction can have locked it then.
TRY_LOCK = Statement(
    "try_lock_worker",
    "bigint",
    """
    SELECT (SELECT count(*) FROM (SELECT FROM workers WHERE id = $1 FOR UPDATE SKIP LOCKED) mine)
         = (SELECT count(*) FROM workers WHERE id = $1)
    """,
)

# Ended worker processes with jobs (a claim was committed after the rescue), and ids that have no row any more.
ORPHANED = Statement(
    "orphaned",
    "bigint",
    """
    SELECT DISTINCT l.worker FROM live l LEFT JOIN workers w ON w.id = l.worker
    WHERE l.worker IS NOT NULL AND (w.id IS NULL OR w.ended_at IS NOT NULL) LIMIT $1
    """,
)

DELETE_ENDED = Statement(
    "delete_workers",
    "int",
    "DELETE FROM workers WHERE ended_at < clock_timestamp() - $1 * interval '1 day' RETURNING id",
)

PROGRESS = Statement(
    "progress",
    "bigint, uuid, smallint, float8, text",
    """
    UPDATE live SET progress = $4, progress_text = $5, rev = rev + 1
    WHERE id = $2 AND attempt = $3 AND worker = $1 RETURNING id
    """,
)

# Looked up by the ids of the caller's running attempts: rows of other workers are not read.
ASKED_TO_STOP = Statement(
    "find_cancelled",
    "uuid[], smallint[], bigint[]",
    """
    SELECT l.worker, l.id::text FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) AS d(id, attempt, worker)
    JOIN live l ON l.id = d.id WHERE l.attempt = d.attempt AND l.worker = d.worker AND l.cancel_requested
    """,
)


@dataclass(frozen=True, slots=True)
class LeaseRenewal:
    """The data with which a parent renews the lease of one of its processes."""

    worker: int
    held_jobs: int
    low_water_marks: Mapping[str, Mapping[str, str]]  #: by queue and priority: claimable_at
    #: jobs that the worker has finished: Unix minute, queue, succeeded and failed; on one row of each worker. Empty:
    #: the row is not changed
    finished_by_minute: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    running_s: float | None = None  #: for how long its longest job has run; None: it is idle
    #: by queue, priority and tenant: claimable_at; empty unless it claims by line
    line_marks: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BusyHost:
    """The longest running job of a host or pod, as its worker has published it with the last renewal."""

    started: float  #: Unix seconds
    running_s: float


def register(
    connection: WorkerConnection, lease_s: float, pid: int, host: str, queues: Sequence[str], operations: Sequence[str]
) -> int:
    """Register a worker process and return its id, which was never used before.

    Its lease ends in `lease_s` seconds unless renewed.
    """
    return int(connection.run(REGISTER, (lease_s, pid, host, list(queues), list(operations)))[0][0])


def renew(connection: WorkerConnection, lease_s: float, leases: Sequence[LeaseRenewal]) -> set[int]:
    """Renew leases to end in `lease_s` seconds. Return the ids with a lease left; the others have lost their jobs."""
    if not leases:
        return set()
    marks = json.dumps([lease.low_water_marks for lease in leases])
    finished = json.dumps([lease.finished_by_minute for lease in leases])
    rows = connection.run(
        RENEW,
        (
            lease_s,
            [lease.worker for lease in leases],
            [min(lease.held_jobs, 32_767) for lease in leases],
            marks,
            finished,
            array_literal("NULL" if lease.running_s is None else lease.running_s for lease in leases),
            json.dumps([lease.line_marks for lease in leases]),
        ),
    )
    return {row[0] for row in rows}


def busy_hosts(connection: WorkerConnection, limit: int) -> dict[str, BusyHost]:
    """Return the hosts of live worker processes that run a job, those with the longest jobs if over the limit."""
    return {host: BusyHost(*times) for host, *times in connection.run(BUSY_HOSTS, (limit,))}


def set_operations(connection: WorkerConnection, worker: int, operations: Sequence[str]) -> None:
    """Replace the operations that a worker process can run, and so the jobs that it can claim."""
    connection.run(SET_OPERATIONS, (worker, list(operations)))


def take_over(
    connection: WorkerConnection, worker: int, former_workers: Sequence[int], running: Sequence[tuple[str, int]]
) -> set[str]:
    """Move running attempts (job, attempt) of former ids to this worker id. Return the jobs that were still theirs."""
    if not running:
        return set()
    jobs, attempts = zip(*running, strict=True)
    return {
        row[0] for row in connection.run(TAKE_OVER, (worker, list(former_workers), array_literal(jobs), list(attempts)))
    }


def find_cancelled(connection: WorkerConnection, running: Sequence[tuple[str, int, int]]) -> set[tuple[int, str]]:
    """Return the cancelled ones among running attempts (job, attempt, worker), as (worker, job)."""
    jobs, attempts, workers = zip(*running, strict=True)
    return {
        (row[0], row[1]) for row in connection.run(ASKED_TO_STOP, (array_literal(jobs), list(attempts), list(workers)))
    }


def end_lease(connection: WorkerConnection, worker: int) -> bool:
    """End a lease for good, in the transaction that releases its jobs.

    Return False if the lease has ended before or its process still holds a job.
    """
    return bool(connection.run(END, (worker,)))


def expired_workers(connection: WorkerConnection, limit: int) -> list[int]:
    """Lock and return worker processes whose lease has expired, without those that another transaction has locked."""
    return [row[0] for row in connection.run(EXPIRED, (limit,))]


def try_lock_worker(connection: WorkerConnection, worker: int) -> bool:
    """Lock a worker's row in the caller's transaction. Return False, without waiting, if another transaction has it."""
    return bool(connection.run(TRY_LOCK, (worker,))[0][0])


def orphaned_workers(connection: WorkerConnection, limit: int) -> list[int]:
    """Return worker ids that hold jobs although their lease has ended or their row was deleted."""
    return [row[0] for row in connection.run(ORPHANED, (limit,))]


def delete_ended(connection: WorkerConnection, days: int) -> int:
    """Delete the rows of processes that ended more than `days` days ago, and return how many."""
    return len(connection.run(DELETE_ENDED, (days,)))


def report_progress(
    connection: WorkerConnection, worker: int, job_id: str, attempt: int, fraction: float | None, text: str | None
) -> bool:
    """Store the progress of an attempt (0 to 1, and a text). Return False if it was fenced."""
    return bool(connection.run(PROGRESS, (worker, job_id, attempt, fraction, text)))

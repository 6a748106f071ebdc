"""Worker processes: register, renew, end; progress of what they run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal

REGISTER = Statement(
    "register",
    "float8, int, text, text[], text[]",
    """
    INSERT INTO workers (alive_until, pid, host, queues, operations)
    VALUES (clock_timestamp() + $1 * interval '1 s', $2, $3, $4, $5) RETURNING id
    """,
)

SET_OPERATIONS = Statement("know", "bigint, text[]", "UPDATE workers SET operations = $2 WHERE id = $1 RETURNING id")

# Attempts that run, from one id of a process to its next one. Their rows are locked in the order of their ids, as by a settle.
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

# A lease that has ended is not renewed: the controller may have given its jobs to others already.
RENEW = Statement(
    "renew",
    "float8, bigint[], smallint[], jsonb, jsonb",
    """
    UPDATE workers SET alive_until = clock_timestamp() + $1 * interval '1 s', busy = d.busy, low = d.low,
        recent = CASE d.recent WHEN '{}' THEN workers.recent ELSE d.recent END
    FROM ROWS FROM (unnest($2), unnest($3), jsonb_array_elements($4), jsonb_array_elements($5)) AS d(id, busy, low, recent)
    WHERE workers.id = d.id AND ended_at IS NULL AND alive_until > clock_timestamp()
    RETURNING workers.id
    """,
)

# Not while it holds a job, such as one that its own dead connection has locked: then its lease runs out, and the controller comes.
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
    "SELECT id FROM workers WHERE ended_at IS NULL AND alive_until < clock_timestamp() ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
)

# True too where there is no row: then nobody else can have locked it.
TRY_LOCK = Statement(
    "alone_with_worker",
    "bigint",
    """
    SELECT (SELECT count(*) FROM (SELECT FROM workers WHERE id = $1 FOR UPDATE SKIP LOCKED) mine)
         = (SELECT count(*) FROM workers WHERE id = $1)
    """,
)

# Held by a process that has ended: a claim that committed after its worker was rescued. Also rows whose worker is gone.
ORPHANED = Statement(
    "orphaned",
    "bigint",
    """
    SELECT DISTINCT l.worker FROM live l LEFT JOIN workers w ON w.id = l.worker
    WHERE l.worker IS NOT NULL AND (w.id IS NULL OR w.ended_at IS NOT NULL) LIMIT $1
    """,
)

DELETE_ENDED = Statement(
    "forget_workers",
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

# Of attempts that run, by their ids: nothing is read of what others run.
ASKED_TO_STOP = Statement(
    "asked_to_stop",
    "uuid[], smallint[], bigint[]",
    """
    SELECT l.worker, l.id::text FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) AS d(id, attempt, worker)
    JOIN live l ON l.id = d.id WHERE l.attempt = d.attempt AND l.worker = d.worker AND l.cancel
    """,
)


@dataclass(frozen=True, slots=True)
class LeaseRenewal:
    """What a parent says of one of its processes when it renews."""

    worker: int
    busy: int  #: jobs in its hands
    low_water_marks: Mapping[str, Mapping[str, str]]  #: its low-water marks: queue, priority, pos
    #: What its worker has finished: Unix minute, queue, succeeded and failed; on one row of a worker. Empty: the row keeps what it has.
    recent: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)


def register(connection: WorkerConnection, lease_s: float, pid: int, host: str, queues: Sequence[str], operations: Sequence[str]) -> int:
    """Write down a worker process and return its id, never used before; its lease ends in lease_s seconds unless renewed."""
    return int(connection.run(REGISTER, (lease_s, pid, host, list(queues), list(operations)))[0][0])


def renew(connection: WorkerConnection, lease_s: float, leases: Sequence[LeaseRenewal]) -> set[int]:
    """Renew the leases in one statement; returns the ids that still had one. Missing ids have lost their jobs."""
    if not leases:
        return set()
    low, recent = json.dumps([lease.low_water_marks for lease in leases]), json.dumps([lease.recent for lease in leases])
    rows = connection.run(RENEW, (lease_s, [lease.worker for lease in leases], [min(lease.busy, 32_767) for lease in leases], low, recent))
    return {row[0] for row in rows}


def set_operations(connection: WorkerConnection, worker: int, operations: Sequence[str]) -> None:
    """Write down what a worker process knows from now on; it claims nothing else."""
    connection.run(SET_OPERATIONS, (worker, list(operations)))


def take_over(connection: WorkerConnection, worker: int, others: Sequence[int], running: Sequence[tuple[str, int]]) -> set[str]:
    """Make attempts (job, attempt) of these others the worker's; returns the ids of those that were still theirs."""
    if not running:
        return set()
    jobs, attempts = zip(*running, strict=True)
    return {row[0] for row in connection.run(TAKE_OVER, (worker, list(others), array_literal(jobs), list(attempts)))}


def asked_to_stop(connection: WorkerConnection, running: Sequence[tuple[str, int, int]]) -> set[tuple[int, str]]:
    """Return those of the running attempts (job, attempt, worker) that a client wants to stop, as (worker, job)."""
    jobs, attempts, holders = zip(*running, strict=True)
    return {(row[0], row[1]) for row in connection.run(ASKED_TO_STOP, (array_literal(jobs), list(attempts), list(holders)))}


def end_lease(connection: WorkerConnection, worker: int) -> bool:
    """End a lease for ever, after giving its jobs back, in one transaction. Returns False when it was ended already or still holds one."""
    return bool(connection.run(END, (worker,)))


def expired_workers(connection: WorkerConnection, limit: int) -> list[int]:
    """Return workers whose lease has run out and whose jobs nobody has given back yet; those that another looks after are left out."""
    return [row[0] for row in connection.run(EXPIRED, (limit,))]


def try_lock_worker(connection: WorkerConnection, worker: int) -> bool:
    """Lock the row of a worker in the caller's transaction. Returns False, and waits for nobody, where another has it."""
    return bool(connection.run(TRY_LOCK, (worker,))[0][0])


def orphaned_workers(connection: WorkerConnection, limit: int) -> list[int]:
    """Return ended or forgotten workers that still hold jobs."""
    return [row[0] for row in connection.run(ORPHANED, (limit,))]


def delete_ended(connection: WorkerConnection, days: int) -> int:
    """Delete the rows of processes that ended more than so many days ago."""
    return len(connection.run(DELETE_ENDED, (days,)))


def report_progress(connection: WorkerConnection, worker: int, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
    """Store how far an attempt is. Returns False when the job is no longer this attempt's."""
    return bool(connection.run(PROGRESS, (worker, job_id, attempt, fraction, text)))

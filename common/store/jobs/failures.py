"""Attempts without a result: fail, retry, release. Also the jobs that a lost worker process still holds."""

import json
from collections.abc import Sequence

from common.domain.decisions import AttemptOutcome, Decision, Fail, Failure, Release, Retry
from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.jobs import claims

_FENCED = """
    JOIN live l ON l.id = d.id
    WHERE l.attempt = d.attempt AND l.worker = $1
    ORDER BY l.id FOR UPDATE OF l
"""

LOCK = Statement(
    "lock_held",
    "bigint, uuid[], smallint[]",
    f"SELECT l.id::text FROM unnest($2, $3) AS d(id, attempt) {_FENCED}",
)

# A job that was asked to stop ends CANCELLED, whatever the decision about its attempt.
FAIL = Statement(
    "fail",
    "bigint, uuid[], smallint[], json, json, json, float8[], float8[], float8[]",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT l.id, l.tenant, l.run, l.attempt, l.released, l.rev, l.started_at, l.cancel_requested,
               d.error_type, d.error_text, d.traceback, d.execution_s, d.cpu_s, d.peak_mib
        FROM ROWS FROM (unnest($2), unnest($3), json_array_elements_text($4), json_array_elements_text($5),
                        json_array_elements_text($6), unnest($7), unnest($8), unnest($9))
             AS d(id, attempt, error_type, error_text, traceback, execution_s, cpu_s, peak_mib) {_FENCED}),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine)))
    INSERT INTO outcomes (
        id, tenant, run, attempt, released, rev, worker, started_at, status, error_type, error_text, traceback,
        execution_s, cpu_s, peak_mib)
    SELECT id, tenant, run, attempt, released, rev + 1, $1, started_at,
           CASE WHEN cancel_requested THEN 'CANCELLED' ELSE 'FAILED' END,
           CASE WHEN NOT cancel_requested THEN error_type END, CASE WHEN NOT cancel_requested THEN error_text END,
           CASE WHEN NOT cancel_requested THEN traceback END, execution_s, cpu_s, peak_mib
    FROM mine
    RETURNING id::text
    """,
)

RETRY_OR_RELEASE = Statement(
    "retry_or_release",
    "bigint, uuid[], smallint[], json, json, json, float8[], float8[], float8[], float8[], text[], boolean[]",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT l.id, l.tenant, l.run, l.attempt, l.released, l.rev, l.started_at, l.cancel_requested,
               d.outcome, d.isolated, d.error_type, d.error_text, d.traceback, d.execution_s, d.cpu_s, d.peak_mib,
               clock_timestamp() + d.delay_s * interval '1 s' AS retry_at
        FROM ROWS FROM (unnest($2), unnest($3), json_array_elements_text($4), json_array_elements_text($5),
                        json_array_elements_text($6), unnest($7), unnest($8), unnest($9), unnest($10), unnest($11),
                        unnest($12))
             AS d(id, attempt, error_type, error_text, traceback, execution_s, cpu_s, peak_mib, delay_s, outcome,
                  isolated)
             {_FENCED}),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE cancel_requested))),
    cancelled AS (
        INSERT INTO outcomes (
            id, tenant, run, attempt, released, rev, worker, started_at, status, execution_s, cpu_s, peak_mib)
        SELECT id, tenant, run, attempt, released, rev + 1, $1, started_at, 'CANCELLED', execution_s, cpu_s, peak_mib
        FROM mine WHERE cancel_requested),
    waiting AS (
        UPDATE live
        SET worker = NULL, started_at = NULL, claimable_at = mine.retry_at, rev = live.rev + 1,
            progress = NULL, progress_text = NULL,
            released = live.released + CASE mine.outcome WHEN 'released' THEN 1 ELSE 0 END,
            crashes = live.crashes + CASE mine.outcome WHEN 'lost' THEN 1 ELSE 0 END,
            isolated = live.isolated OR mine.isolated
        FROM mine WHERE live.id = mine.id AND NOT mine.cancel_requested),
    ended AS (
        INSERT INTO attempts (
            id, tenant, run, attempt, worker, started_at, retry_at, outcome, error_type, error_text, traceback,
            execution_s, cpu_s, peak_mib)
        SELECT id, tenant, run, attempt, $1, started_at, retry_at, outcome, error_type, error_text, traceback,
               execution_s, cpu_s, peak_mib
        FROM mine WHERE NOT cancel_requested)
    SELECT id::text FROM mine
    """,
)

# Without rows that a rescue wrote (worker_lost): the attempt's own end was not stored then. OFFSET 0 keeps the look-up
# by id, which prunes partitions.
SETTLED_BEFORE = Statement(
    "settled_before",
    "bigint, uuid[], smallint[]",
    """
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (
        SELECT FROM outcomes o
        WHERE o.id = d.id AND o.attempt = d.attempt AND o.worker = $1 AND o.error_type IS DISTINCT FROM 'worker_lost'
        OFFSET 0) o
    UNION ALL
    SELECT d.id::text FROM unnest($2, $3) AS d(id, attempt)
    CROSS JOIN LATERAL (
        SELECT FROM attempts a
        WHERE a.id = d.id AND a.attempt = d.attempt AND a.worker = $1 AND a.error_type <> 'worker_lost' OFFSET 0) a
    """,
)

HELD_JOBS = Statement(
    "held_jobs",
    "bigint, bigint",
    f"""
    SELECT t.id::text, t.attempt, t.released, t.max_attempts, j.operation, j.timeout_ms, j.trace,
           {claims.CLAIM_EXTRAS}, t.queue
    FROM (SELECT * FROM live WHERE worker = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) t
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = t.id OFFSET 0) j
    """,
)


def write_decisions(
    connection: WorkerConnection, worker: int, decisions: Sequence[tuple[ClaimedJob, Decision]]
) -> set[str]:
    """Store the decisions about a worker process's attempts, and return the ids of stored ones. The others were fenced.

    Runs in the caller's transaction, so that the decisions are committed together with what belongs to them.
    """
    if not decisions:
        return set()
    ordered = sorted(decisions, key=lambda pair: pair[0].id)
    if len(ordered) > 1:
        connection.run(LOCK, (worker, *_fence_arguments([job for job, _ in ordered])))
    stored: set[str] = set()
    failed = [(job, d.failure) for job, d in ordered if isinstance(d, Fail)]
    if failed:
        stored |= {row[0] for row in connection.run(FAIL, (worker, *_failure_arguments(failed)))}
    waiting = [(job, d) for job, d in ordered if isinstance(d, Retry | Release)]
    if waiting:
        failures = _failure_arguments([(job, d.failure) for job, d in waiting])
        delays = [d.delay_s for _, d in waiting]
        outcomes = [str(AttemptOutcome.RELEASED if isinstance(d, Release) else d.failure.outcome) for _, d in waiting]
        isolated = [
            d.isolated if isinstance(d, Release) else d.failure.outcome is AttemptOutcome.LOST for _, d in waiting
        ]
        stored |= {row[0] for row in connection.run(RETRY_OR_RELEASE, (worker, *failures, delays, outcomes, isolated))}
    return stored


def lock_held(connection: WorkerConnection, worker: int, limit: int) -> list[tuple[ClaimedJob, str]]:
    """Lock up to `limit` jobs that a worker process holds, in the caller's transaction; return each with its queue.

    Rows that another transaction has locked are left out.
    """
    return [
        (ClaimedJob(r[0], r[1], r[2], r[3], r[4], None, r[5], r[6], 0.0, claims.claim_extras(r[7])), r[8])
        for r in connection.run(HELD_JOBS, (worker, limit))
    ]


def settled_before(connection: WorkerConnection, worker: int, ids: Sequence[str], attempts: Sequence[int]) -> set[str]:
    """Return the ids of attempts whose end this worker process has already stored."""
    return {row[0] for row in connection.run(SETTLED_BEFORE, (worker, array_literal(ids), array_literal(attempts)))}


def _fence_arguments(jobs: Sequence[ClaimedJob]) -> tuple[str, str]:
    return array_literal(job.id for job in jobs), array_literal(job.attempt for job in jobs)


def _failure_arguments(failed: Sequence[tuple[ClaimedJob, Failure]]) -> tuple[object, ...]:
    failures = [failure for _, failure in failed]
    return (
        *_fence_arguments([job for job, _ in failed]),
        json.dumps([failure.error_type for failure in failures]),
        json.dumps([failure.error_text for failure in failures]),
        json.dumps([failure.traceback for failure in failures]),
        [failure.usage.execution_s for failure in failures],
        [failure.usage.cpu_s for failure in failures],
        [failure.usage.peak_mib for failure in failures],
    )

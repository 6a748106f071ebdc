"""Attempts that gave no result: fail, retry, release; and what a worker still holds."""

import json
from collections.abc import Sequence

from common.domain.decisions import Decision, Ended, Fail, Release, Retry
from common.domain.job import Claimed
from common.store.session import Hot, Statement

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

FAIL = Statement(
    "fail",
    "bigint, uuid[], smallint[], json, json",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT l.id, l.epoch, l.attempt, l.released, l.rev, l.started_at, d.error_type, d.error_text
        FROM ROWS FROM (unnest($2), unnest($3), json_array_elements_text($4), json_array_elements_text($5))
             AS d(id, attempt, error_type, error_text) {_FENCED}),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine)))
    INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, status, error_type, error_text)
    SELECT id, epoch, attempt, released, rev + 1, $1, started_at, 'FAILED', error_type, error_text FROM mine
    RETURNING id::text
    """,
)

GIVE_BACK = Statement(
    "give_back",
    "bigint, uuid[], smallint[], float8[], text[], json, json",
    f"""
    WITH mine AS MATERIALIZED (
        SELECT l.id, l.epoch, l.attempt, l.started_at, d.ended, d.error_type, d.error_text,
               clock_timestamp() + d.delay_s * interval '1 s' AS retry_at
        FROM ROWS FROM (unnest($2), unnest($3), unnest($4), unnest($5), json_array_elements_text($6), json_array_elements_text($7))
             AS d(id, attempt, delay_s, ended, error_type, error_text) {_FENCED}),
    back AS (
        UPDATE live
        SET worker = NULL, started_at = NULL, pos = mine.retry_at, rev = rev + 1, progress = NULL, progress_text = NULL,
            released = released + CASE mine.ended WHEN 'released' THEN 1 ELSE 0 END
        FROM mine WHERE live.id = mine.id
        RETURNING live.id),
    kept AS (
        INSERT INTO attempts (id, epoch, attempt, worker, started_at, retry_at, ended, error_type, error_text)
        SELECT id, epoch, attempt, $1, started_at, retry_at, ended, error_type, error_text FROM mine)
    SELECT id::text FROM back
    """,
)

HELD = Statement(
    "held",
    "bigint, bigint",
    """
    SELECT l.id::text, l.attempt, l.released, l.max_attempts, j.operation, NULL, j.timeout_ms, j.trace, l.queue
    FROM (SELECT * FROM live WHERE worker = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) l
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = l.id OFFSET 0) j
    """,
)


def write(hot: Hot, worker: int, decided: Sequence[tuple[Claimed, Decision]]) -> set[str]:
    """Write the decisions about attempts of a worker; returns the ids that stood, the others were fenced.

    Not a transaction of its own: the caller's, so that they stand or fall with what goes with them.
    """
    if not decided:
        return set()
    ordered = sorted(decided, key=lambda pair: pair[0].id)
    if len(ordered) > 1:
        hot.run(LOCK, (worker, *_ids([job for job, _ in ordered])))
    stood: set[str] = set()
    failed = [(job, d.failure) for job, d in ordered if isinstance(d, Fail)]
    if failed:
        types, texts = _texts([f.error_type for _, f in failed]), _texts([f.error_text for _, f in failed])
        stood |= {row[0] for row in hot.run(FAIL, (worker, *_ids([job for job, _ in failed]), types, texts))}
    back = [(job, d) for job, d in ordered if isinstance(d, Retry | Release)]
    if back:
        delays = [d.delay_s if isinstance(d, Retry) else 0.0 for _, d in back]
        ended = [str(Ended.RELEASED if isinstance(d, Release) else d.failure.ended) for _, d in back]
        types, texts = _texts([d.failure.error_type for _, d in back]), _texts([d.failure.error_text for _, d in back])
        stood |= {row[0] for row in hot.run(GIVE_BACK, (worker, *_ids([job for job, _ in back]), delays, ended, types, texts))}
    return stood


def held(hot: Hot, worker: int, most: int) -> list[tuple[Claimed, str]]:
    """Return, locked, jobs that a worker holds, each with its queue. Inside the caller's transaction; others' locks are passed over."""
    return [(Claimed(*row[:8]), row[8]) for row in hot.run(HELD, (worker, most))]


def _ids(jobs: Sequence[Claimed]) -> tuple[str, str]:
    return "{" + ",".join(job.id for job in jobs) + "}", "{" + ",".join(str(job.attempt) for job in jobs) + "}"


def _texts(texts: Sequence[str]) -> str:
    return json.dumps(texts)

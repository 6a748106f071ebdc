"""Enforcement of passed deadlines."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.jobs.fragments import ORIGINAL_RUN

# A running job is left to its worker process, which enforces the deadline. Its row in `deadlines` stays for later.
FAIL_EXPIRED = Statement(
    "fail_expired",
    "bigint, text, text",
    f"""
    WITH late AS MATERIALIZED (
        SELECT id FROM deadlines WHERE at <= clock_timestamp() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED),
    unfinished AS MATERIALIZED (
        SELECT l.id, l.worker FROM late
        CROSS JOIN LATERAL (
            SELECT * FROM live WHERE live.id = late.id AND {ORIGINAL_RUN.format(row="live")} OFFSET 0) l),
    mine AS MATERIALIZED (
        SELECT l.* FROM unfinished JOIN live l ON l.id = unfinished.id
        WHERE unfinished.worker IS NULL AND l.worker IS NULL ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine))),
    ended AS (
        INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status, error_type, error_text)
        SELECT id, tenant, run, attempt, released, rev + 1, 'FAILED', $2, $3 FROM mine),
    done AS (
        DELETE FROM deadlines WHERE id = ANY (ARRAY(
            SELECT id FROM late EXCEPT (SELECT id FROM unfinished EXCEPT SELECT id FROM mine))))
    SELECT count(*) FROM mine
    """,
)


def fail_expired(connection: WorkerConnection, limit: int, error_type: str, error_text: str) -> int:
    """End waiting jobs whose deadline has passed as FAILED, at most `limit` of them, and return how many. Atomic."""
    return int(connection.run(FAIL_EXPIRED, (limit, error_type, error_text))[0][0])

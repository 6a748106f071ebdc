"""Retention per job: jobs with a `keep_s` of their own are checked lazily and deleted by row."""

from typing import TYPE_CHECKING

from common.store.connection.statement import Statement
from common.store.retention import by_row

if TYPE_CHECKING:  # it imports psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# An unfinished job is kept for `keep_s` from now on at least. The older it is, the rarer it is checked, so a million
# jobs that wait for a year cost nothing. It is then deleted late, by at most an eighth of its age at the last check.
_NEXT_CHECK = "greatest(keep_s * interval '1 s', (clock_timestamp() - created_at) / 8)"

CHECK_DUE = Statement(
    "check_expiries",
    "bigint",
    f"""
    WITH late AS MATERIALIZED (
        SELECT id FROM expiries WHERE at <= clock_timestamp() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED),
    found AS MATERIALIZED (
        SELECT late.id, j.keep_s, j.created_at, l.id IS NOT NULL AS unfinished, o.run,
               o.finished_at + j.keep_s * interval '1 s' AS until
        FROM late
        LEFT JOIN LATERAL (SELECT keep_s, created_at FROM jobs WHERE jobs.id = late.id OFFSET 0) j ON true
        LEFT JOIN LATERAL (SELECT id FROM live WHERE live.id = late.id OFFSET 0) l ON true
        LEFT JOIN LATERAL (
            SELECT run, finished_at FROM outcomes WHERE outcomes.id = late.id ORDER BY run DESC LIMIT 1) o ON true),
    later AS (
        UPDATE expiries e SET at = CASE WHEN f.unfinished THEN clock_timestamp() + {_NEXT_CHECK} ELSE f.until END
        FROM found f WHERE e.id = f.id AND (f.unfinished OR f.until > clock_timestamp())),
    nobodys AS (
        DELETE FROM expiries e USING found f WHERE e.id = f.id AND f.created_at IS NULL)
    SELECT id::text, CASE WHEN NOT unfinished AND until <= clock_timestamp() THEN run END FROM found
    """,
)


def delete_expired(connection: "WorkerConnection", limit: int) -> tuple[int, int]:
    """Check at most `limit` jobs that are due for it, and delete those past their `keep_s`. Atomic.

    Return the number of checked and of deleted jobs.
    """
    with connection.transaction():
        checked = connection.run(CHECK_DUE, (limit,))
        return len(checked), by_row.delete_jobs(connection, [(id_, run) for id_, run in checked if run is not None])

"""Jobs that are kept for a time of their own: looked at lazily, removed one by one."""

from typing import TYPE_CHECKING

from common.store.connection.statement import Statement
from common.store.retention import by_row

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# A submission's first look leaves time to run, so that most jobs are looked at once: `at` then is after their end and their time.
FIRST_CHECK_AT = "clock_timestamp() + keep_s * interval '1 s' + least(keep_s / 8.0, 60) * interval '1 s'"

# A job that is not finished cannot be over before its time from now on. One that takes long is looked at ever more rarely, so that a
# million of them that wait for a year cost nothing: it then goes late, by at most an eighth of its age as it was last looked at.
_NEXT_CHECK = "greatest(keep_s * interval '1 s', (clock_timestamp() - created_at) / 8)"

CHECK_DUE = Statement(
    "expiries_look",
    "bigint",
    f"""
    WITH late AS MATERIALIZED (
        SELECT id FROM expiries WHERE at <= clock_timestamp() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED),
    found AS MATERIALIZED (
        SELECT late.id, j.keep_s, j.created_at, l.id IS NOT NULL AS unfinished, o.epoch, o.finished_at + j.keep_s * interval '1 s' AS until
        FROM late
        LEFT JOIN LATERAL (SELECT keep_s, created_at FROM jobs WHERE jobs.id = late.id OFFSET 0) j ON true
        LEFT JOIN LATERAL (SELECT id FROM live WHERE live.id = late.id OFFSET 0) l ON true
        LEFT JOIN LATERAL (SELECT epoch, finished_at FROM outcomes WHERE outcomes.id = late.id ORDER BY epoch DESC LIMIT 1) o ON true),
    later AS (
        UPDATE expiries e SET at = CASE WHEN f.unfinished THEN clock_timestamp() + {_NEXT_CHECK} ELSE f.until END
        FROM found f WHERE e.id = f.id AND (f.unfinished OR f.until > clock_timestamp())),
    nobodys AS (
        DELETE FROM expiries e USING found f WHERE e.id = f.id AND f.created_at IS NULL)
    SELECT id::text, CASE WHEN NOT unfinished AND until <= clock_timestamp() THEN epoch END FROM found
    """,
)


def delete_expired(connection: "WorkerConnection", limit: int) -> tuple[int, int]:
    """Look at jobs whose time may be over, at most so many, and remove those whose time is. Returns how many of each. Atomic."""
    with connection.transaction():
        looked = connection.run(CHECK_DUE, (limit,))
        return len(looked), by_row.delete_jobs(connection, [(row[0], row[1]) for row in looked if row[1] is not None])

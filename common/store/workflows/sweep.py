"""The controller's part: it asks for jobs that wait where nobody else has asked.

A job can end in many ways, and a process can die between the commit and the question. So each tick looks at the jobs
that have ended without success since the last one, and at the next ones of all jobs that wait.
"""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.dependencies.fragments import BLOCKED

NO_JOB = "00000000-0000-0000-0000-000000000000"  # before the first one
TENANTS = Statement(
    "tenants_with_workflows",
    "int",
    "SELECT DISTINCT tenant FROM batches WHERE failed IS NULL AND is_workflow AND tenant > $1",
)
# By an index that no success enters. A transaction of up to `slack` seconds is seen although it commits late.
FALLEN = Statement(
    "fallen_parents",
    "int[], timestamptz, float8, bigint",
    """
    SELECT ended.id::text, ended.finished_at::text, heirs.exist
    FROM unnest($1) AS t(tenant)
    CROSS JOIN LATERAL (
        SELECT o.id, o.finished_at FROM outcomes o
        WHERE o.tenant = t.tenant AND o.status <> 'SUCCESS' AND o.finished_at > $2 - $3 * interval '1 s'
        ORDER BY o.finished_at LIMIT $4) ended
    CROSS JOIN LATERAL (
        SELECT children IS NOT NULL OR joins IS NOT NULL AS exist FROM jobs WHERE jobs.id = ended.id OFFSET 0) heirs
    """,
)
NOW = Statement("now", "int", "SELECT clock_timestamp()::text WHERE $1 > 0")
WAITING = Statement(
    "waiting_jobs",
    "uuid, bigint",
    f"SELECT l.id::text FROM live l WHERE {BLOCKED} AND l.id > $1 ORDER BY l.id LIMIT $2",
)


def tenants(connection: WorkerConnection) -> list[int]:
    """Return the tenants with workflows that may have unfinished jobs."""
    return [row[0] for row in connection.run(TENANTS, (0,))]


def now(connection: WorkerConnection) -> str:
    """Return the time of the database."""
    return str(connection.run(NOW, (1,))[0][0])


def fallen(
    connection: WorkerConnection, of: list[int], since: str, slack_s: float, limit: int
) -> tuple[list[str], str, bool]:
    """Return jobs that ended without success since a time and for which others may wait, and the time of the last.

    The third value is True if there are more of a tenant than `limit`.
    """
    rows = connection.run(FALLEN, (array_literal(of), since, slack_s, limit))
    last = max((row[1] for row in rows), default=since)
    return [row[0] for row in rows if row[2]], last, len(rows) >= limit


def waiting(connection: WorkerConnection, after: str, limit: int) -> list[str]:
    """Return the next jobs that wait for others, in the order of their ids."""
    return [row[0] for row in connection.run(WAITING, (after, limit))]

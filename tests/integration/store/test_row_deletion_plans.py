"""Plans of row deletion: bounded index scans with any statistics, pruned partitions."""

from collections.abc import Sequence

import pytest
from integration.store.support.past_jobs import LIMIT
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Storage, old_period

from common.settings import Pooler, Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.retention import by_row, per_job
from common.store.schema.partitions import TABLES

PARTITIONS = 30
FINISHED = 20_000
_INSERT_FINISHED = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s)
    SELECT uuidv7(), 'square_sum', 'default', '{}', 3, 1
    FROM generate_series(1, %s)
    RETURNING id),
live_ AS (INSERT INTO live (id, queue, max_attempts, claimable_at) SELECT uuidv7(), 'default', 3, now() FROM new),
done AS (
    INSERT INTO outcomes (id, run, attempt, released, rev, finished_at, status, result)
    SELECT id, 0, 1, 0, 2, now() - interval '1 hour', 'SUCCESS', '1' FROM new)
INSERT INTO expiries (id, at) SELECT id, now() - interval '1 minute' FROM new
"""


@pytest.fixture(params=Pooler)
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Statements prepared once, or planned in each transaction."""
    return settings.model_copy(update={"database_pooler": request.param})


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_deletion_reads_few_more_rows_than_it_deletes(
    storage: Storage, connection: WorkerConnection, analyzed: bool
) -> None:
    existing = storage.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass")
    for days_ago in range(3, 3 + PARTITIONS - existing):
        old_period(storage, days_ago)
    storage.rows(_INSERT_FINISHED, (FINISHED,))
    if analyzed:
        storage.rows("ANALYZE")
    first, after, today = storage.rows(
        "SELECT min(id::text), max(id::text), right(min(tableoid::regclass::text), 8) FROM jobs"
    )[0]
    cutoff_ms = int(storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    job_runs = storage.rows(
        """SELECT '{' || string_agg(id::text, ',') || '}', '{' || string_agg('0', ',') || '}'
           FROM (SELECT id FROM jobs LIMIT %s) j""",
        (LIMIT,),
    )[0]
    statements: dict[Statement, Sequence[object]] = {
        per_job.CHECK_DUE: (LIMIT,),
        by_row.LOCK: job_runs,
        by_row.DELETE: (*job_runs, first, after),
        by_row.DELETE_INPUTS: (*job_runs, first, after),
        by_row.SCAN_JOBS: (first, after, LIMIT, cutoff_ms, cutoff_ms, cutoff_ms),
        by_row.SCAN_INPUTS: (first, after, LIMIT, cutoff_ms),
    }
    for statement, arguments in statements.items():
        plan = explain(connection, statement, arguments)
        assert plan.unbounded("live") == [], f"{statement.name}\n{plan}"
        assert plan.buffers < 120 * LIMIT, f"{statement.name}\n{plan}"
        assert other_partitions(plan, today) == set(), f"{statement.name}\n{plan}"
    assert explain(connection, per_job.CHECK_DUE, (LIMIT,)).read("expiries", "expiries_at") <= LIMIT + 1


def other_partitions(plan: Plan, today: str) -> set[str]:
    """Return the scanned partitions that are not of today."""
    return {name for table in TABLES for name in plan.partitions(table) if not name.endswith(today)}

"""Plans of what removes jobs one by one: by index, from a known place, partitions pruned, whatever the statistics say."""

from collections.abc import Sequence

import pytest
from integration.store.support.past_jobs import MOST
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Storage, old_period

from common.settings import Pooler, Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.retention import by_row, per_job
from common.store.schema.partitions import TABLES

PARTITIONS = 30
FINISHED = 20_000
_FINISHED = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, keep_s) SELECT uuidv7(), 'square_sum', 'default', '{}', 3, 1 FROM generate_series(1, %s)
    RETURNING id),
live_ AS (INSERT INTO live (id, queue, max_attempts, pos) SELECT uuidv7(), 'default', 3, now() FROM new),
done AS (
    INSERT INTO outcomes (id, epoch, attempt, released, rev, finished_at, status, result)
    SELECT id, 0, 1, 0, 2, now() - interval '1 hour', 'SUCCESS', '1' FROM new)
INSERT INTO expiries (id, at) SELECT id, now() - interval '1 minute' FROM new
"""


@pytest.fixture(params=Pooler)
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """Prepared once, or planned with each transaction."""
    return settings.model_copy(update={"database_pooler": request.param})


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_step_reads_what_it_removes_and_little_more(storage: Storage, connection: WorkerConnection, analyzed: bool) -> None:
    have = storage.one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass")
    for days_ago in range(3, 3 + PARTITIONS - have):
        old_period(storage, days_ago)
    storage.rows(_FINISHED, (FINISHED,))
    if analyzed:
        storage.rows("ANALYZE")
    first, after, today = storage.rows("SELECT min(id::text), max(id::text), right(min(tableoid::regclass::text), 8) FROM jobs")[0]
    cut_ms = int(storage.one("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    some = storage.rows("SELECT '{' || string_agg(id::text, ',') || '}', '{' || string_agg('0', ',') || '}' FROM (SELECT id FROM jobs LIMIT %s) j", (MOST,))[0]
    statements: dict[Statement, Sequence[object]] = {
        per_job.CHECK_DUE: (MOST,),
        by_row.LOCK: some,
        by_row.DELETE: (*some, first, after),
        by_row.DELETE_INPUTS: (*some, first, after),
        by_row.SCAN_JOBS: (first, after, MOST, cut_ms, cut_ms, cut_ms),
        by_row.SCAN_INPUTS: (first, after, MOST, cut_ms),
    }
    for statement, arguments in statements.items():
        plan = explain(connection, statement, arguments)
        assert plan.wide("live") == [], f"{statement.name}\n{plan}"
        assert plan.buffers < 120 * MOST, f"{statement.name}\n{plan}"
        assert others(plan, today) == set(), f"{statement.name}\n{plan}"
    assert explain(connection, per_job.CHECK_DUE, (MOST,)).read("expiries", "expiries_at") <= MOST + 1


def others(plan: Plan, today: str) -> set[str]:
    """Return the partitions that were looked into and are not of that day."""
    return {name for table in TABLES for name in plan.partitions(table) if not name.endswith(today)}

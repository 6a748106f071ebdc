"""Plans of the statements of batches: each reads the rows of its batch, whatever else the tables have."""

import json
from typing import Any
from uuid import UUID

import pytest
from integration.store.support.storage import Storage
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name

from common.store.batches import ends, reads
from common.store.batches.sql import NEAR
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

BATCH, LAST = "0fffffff-ffff-7fff-bfff-ffff00000000", "0fffffff-ffff-7fff-bfff-ffffffffffff"
OTHERS, JOBS = 20_000, 300
FOLLOW_UP = "0fffffff-ffff-7fff-bfff-00000000000a"
#: Jobs of the batch, every third of which has ended, and of no batch.
FILL = f"""
WITH new AS (
    SELECT ('0fffffff-ffff-7fff-bfff-ffff' || lpad(to_hex(n), 8, '0'))::uuid AS id, n
    FROM generate_series(1, {JOBS}) n),
live_rows AS (
    INSERT INTO live (id, queue, max_attempts, claimable_at) SELECT id, 'default', 3, now() FROM new WHERE n % 3 > 0)
INSERT INTO outcomes (id, run, attempt, released, rev, status, result, error_type)
SELECT id, 0, 1, 0, 1, CASE n % 2 WHEN 0 THEN 'SUCCESS' ELSE 'FAILED' END, CASE n % 2 WHEN 0 THEN '1'::json END,
       CASE n % 2 WHEN 1 THEN 'x' END
FROM new WHERE n % 3 = 0
"""


@pytest.fixture
def filled(storage: Storage) -> Storage:
    """A batch among twenty thousand jobs of none, and a thousand batches that have ended."""
    storage.rows(
        "SELECT create_partition(t, '20990101', '0f000000-0000-0000-0000-000000000000',"
        " '10000000-0000-0000-0000-000000000000') FROM unnest(ARRAY['jobs', 'outcomes']) t"
    )
    storage.rows(FILL)
    storage.fill(OTHERS, "now()")
    storage.rows(
        "INSERT INTO batches (id, last, place, jobs, numbers, closed_at) VALUES (%s, %s, %s, %s, %s, now())",
        (BATCH, LAST, BATCH, JOBS, JOBS),
    )
    storage.rows(
        """INSERT INTO batches (id, last, place, closed_at, ended_at, failed, cancelled)
           SELECT id, id, id, now(), now(), 0, 0 FROM (SELECT uuidv7() AS id FROM generate_series(1, 1000)) d"""
    )
    return storage


def rows_read(plan: dict[str, Any]) -> float:
    """Return the rows that the scans of a plan have read, those that they filtered included."""
    own = 0.0
    if "Relation Name" in plan:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(rows_read(part) for part in plan.get("Plans", ()))


def sequential(plan: dict[str, Any]) -> list[str]:
    """Return the tables that a plan reads from end to end."""
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [name for part in plan.get("Plans", ()) for name in sequential(part)]


def explained(connection: WorkerConnection, statement: Statement, arguments: tuple[object, ...]) -> dict[str, Any]:
    driver: PgConnection = connection.driver_connection
    with driver.cursor() as cursor:
        cursor.execute(statement.prepare)
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.execute, arguments)
        ((plan,),) = cursor.fetchall()
    return dict(plan[0]["Plan"])


@pytest.mark.parametrize("analyzed", [False, True])
def test_the_controller_reads_a_row_a_batch(filled: Storage, *, analyzed: bool) -> None:
    if analyzed:
        filled.rows("ANALYZE live, batches, outcomes")
    connection = filled.connection()
    most = {ends.LOOK: 10, ends.LOCK: 5, ends.MOVE: 10, ends.HAS_LIVE: 5, ends.CLOSE_LATE: 5}
    arguments: dict[Statement, tuple[object, ...]] = {
        ends.LOOK: (ends.NO_BATCH, 500),
        ends.LOCK: ("{" + BATCH + "}",),
        ends.MOVE: ("{" + BATCH + "}",),
        ends.HAS_LIVE: (BATCH,),
        ends.CLOSE_LATE: (86_400.0, 1_000),
    }
    for statement, limit in most.items():
        plan = explained(connection, statement, arguments[statement])
        assert rows_read(plan) <= limit, (statement.name, json.dumps(plan))


@pytest.mark.parametrize("analyzed", [False, True])
def test_an_end_reads_the_jobs_of_its_batch(filled: Storage, *, analyzed: bool) -> None:
    if analyzed:
        filled.rows("ANALYZE live, batches, outcomes")
    plan = explained(filled.connection(), ends.END_ONE, (BATCH, FOLLOW_UP))
    assert rows_read(plan) <= 2 * JOBS
    assert not {"jobs", "live", "outcomes"} & set(sequential(plan))


@pytest.mark.parametrize("analyzed", [False, True])
def test_counts_read_the_jobs_of_their_batch(filled: Storage, *, analyzed: bool) -> None:
    if analyzed:
        filled.rows("ANALYZE live, batches, outcomes")

    async def work(pool: DatabasePool) -> tuple[dict[str, Any], reads.Record | None]:
        async with pool.acquire(Lane.BY_ID) as connection:
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {reads.READ}"
            (plan,) = await connection.fetchval(explain, 1, UUID(BATCH))
            return plan["Plan"], await reads.read(connection, 1, UUID(BATCH))

    plan, row = filled.with_pool(work)
    assert row is not None
    assert (row["unfinished"], row["failed"]) == (200, 50)
    assert rows_read(plan) <= 2 * JOBS
    assert not {"live", "outcomes", "batches"} & set(sequential(plan))


def test_a_job_that_stays_behind_makes_no_count_slow(filled: Storage) -> None:
    """The first job of forty thousand waits for a retry while half of the others end."""
    storage = filled
    batch = "0fffffff-ffff-7fff-bfff-fffe00000000"
    number = "('0fffffff-ffff-7fff-bfff-fffe' || lpad(to_hex(n), 8, '0'))::uuid"
    storage.rows(
        "INSERT INTO batches (id, last, place, jobs, numbers, closed_at)"
        " VALUES (%s, '0fffffff-ffff-7fff-bfff-fffeffffffff', %s, 50000, 50000, now())",
        (batch, batch),
    )
    storage.rows(
        f"""INSERT INTO live (id, queue, max_attempts, claimable_at)
            SELECT {number}, 'default', 3, now() FROM generate_series(1, 50000) n WHERE n = 1 OR n > 25000"""
    )
    storage.rows(
        f"""INSERT INTO outcomes (id, run, attempt, released, rev, status, result)
            SELECT {number}, 0, 1, 0, 1, 'SUCCESS', '1' FROM generate_series(2, 25000) n"""
    )
    storage.rows("ANALYZE live, batches, outcomes")
    connection = storage.connection()
    _, moved, _ = ends.look(connection, ends.NO_BATCH, 500)
    ends.move_places(connection, moved)

    async def work(pool: DatabasePool) -> tuple[dict[str, Any], reads.Record | None]:
        async with pool.acquire(Lane.BY_ID) as reader:
            (plan,) = await reader.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {reads.READ}", 1, UUID(batch))
            return plan["Plan"], await reads.read(reader, 1, UUID(batch))

    plan, row = storage.with_pool(work)
    assert row is not None
    assert (row["unfinished"], row["failed"]) == (25_001, 0)
    assert rows_read(plan) <= NEAR + NEAR // 4 + 100

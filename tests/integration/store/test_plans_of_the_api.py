"""Plans on connections of the API: reads by id are planned once, lists for their arguments."""

from uuid import UUID

import asyncpg
import pytest
from integration.store.support.cancel_retry import an_entry
from integration.store.support.storage import Storage
from sqlalchemy import Connection

from common.domain.tenancy.audit import AuditAction
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.jobs import cancel_retry, insert, reads
from common.store.queues import explain
from common.store.workers.low_water_marks import NIL_UUID

MODE = "SELECT setting FROM pg_settings WHERE name = 'plan_cache_mode'"
PLANNED = (
    "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%job_states%'"
)
SCANNED = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'"
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'live'"
BACKLOG, COUNT_LIMIT = 20_000, 100


async def _reads(connection: asyncpg.Connection, job_id: UUID) -> None:
    await reads.status(connection, 1, job_id)
    await reads.result(connection, 1, job_id)
    await reads.snapshots(connection, [(1, job_id)])
    await reads.job(connection, 1, job_id)


def _prepare(storage: Storage, *, drained: bool) -> None:
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    if drained:
        storage.drain()


@pytest.mark.parametrize("drained", [False, True])
def test_a_read_is_planned_once_and_not_as_a_sequential_scan(storage: Storage, drained: bool) -> None:
    """Planning takes longer than running it."""
    _prepare(storage, drained=drained)

    async def work(pool: DatabasePool) -> tuple[dict[str, tuple[int, int]], int]:
        async with pool.acquire(Lane.BY_ID) as connection:
            for _ in range(8):  # from the sixth on PostgreSQL chooses by the cost of the plans
                await _reads(connection, UUID(NIL_UUID))
            planned = {text: (generic, custom) for text, generic, custom in await connection.fetch(PLANNED)}
            storage.fill(BACKLOG, "now()")
            async with connection.transaction():
                await _reads(
                    connection,
                    await connection.fetchval(
                        "SELECT id FROM live WHERE queue = 'default' ORDER BY claimable_at LIMIT 1"
                    ),
                )
                return planned, await connection.fetchval(SCANNED)

    planned, scanned = storage.with_pool(work)
    assert len(planned) == 5  # this query is one of them
    assert {custom for _, custom in planned.values()} == {0}, planned
    assert all(generic for generic, _ in planned.values()), planned
    assert scanned == 0


@pytest.mark.parametrize("drained", [False, True])
def test_requests_about_one_job_read_few_others(storage: Storage, drained: bool) -> None:
    """Planned on an empty table, with cached plans."""
    _prepare(storage, drained=drained)

    async def run_requests(connection: asyncpg.Connection, job_id: UUID) -> None:
        await explain.unfinished_job(connection, 1, job_id, COUNT_LIMIT)
        await explain.run_starts(connection, 1, job_id)
        await explain.attempt_times(connection, 1, job_id, COUNT_LIMIT)
        await cancel_retry.cancel_job(connection, 1, job_id, an_entry(AuditAction.JOB_CANCEL, job_id))
        await explain.last_outcome(connection, 1, job_id)
        await cancel_retry.retry_job(connection, 1, job_id, None, an_entry(AuditAction.JOB_RETRY, job_id))

    async def work(pool: DatabasePool) -> tuple[int, int]:
        async with pool.acquire(Lane.BY_ID) as connection:
            for job in storage.new(8):
                await insert.insert_jobs(connection, [job])
                await run_requests(connection, job.id)
            storage.rows("UPDATE live SET claimable_at = now() + interval '1 day'")
            storage.fill(BACKLOG, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 us'")
            last = await connection.fetchval(
                """SELECT id FROM live WHERE queue = 'default' AND claimable_at < now()
                   ORDER BY claimable_at DESC LIMIT 1"""
            )
            async with connection.transaction():
                before = await connection.fetchval(READ) or 0
                unfinished = await explain.unfinished_job(connection, 1, last, COUNT_LIMIT)
                assert unfinished is not None
                await run_requests(connection, last)
                return unfinished["ahead"], await connection.fetchval(READ) - before

    ahead, read_of_live = storage.with_pool(work)
    assert ahead == COUNT_LIMIT
    assert read_of_live < 10 * COUNT_LIMIT


def test_sqlalchemy_statements_are_planned_for_their_arguments(storage: Storage) -> None:
    def mode(connection: Connection) -> str:
        return str(connection.exec_driver_sql(MODE).scalar_one())

    async def work(pool: DatabasePool) -> list[str]:
        modes = []
        for _ in range(2):
            async with pool.acquire(Lane.BY_ID) as connection:
                modes.append(await connection.fetchval(MODE))
            modes.append(await pool.run_sync(mode, Lane.EXPENSIVE))
        return modes

    assert storage.with_pool(work) == ["force_generic_plan", "auto"] * 2

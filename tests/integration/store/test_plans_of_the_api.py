"""The API's own connections: reads by id are planned once, lists for what they ask."""

from uuid import UUID

import asyncpg
import pytest
from integration.store.support.storage import Storage
from sqlalchemy import Connection

from common.store.connection.asyncpg_pool import DatabasePool
from common.store.jobs import cancel_retry, claims, insert, reads
from common.store.queues import explain

MODE = "SELECT setting FROM pg_settings WHERE name = 'plan_cache_mode'"
PLANNED = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%job_states%'"
WALKED = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'"


FOUND = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'live'"
BACKLOG, CAP = 20_000, 100


async def _reads(connection: asyncpg.Connection, job_id: UUID) -> None:
    await reads.status(connection, job_id)
    await reads.result(connection, job_id)
    await reads.snapshots(connection, [job_id])
    await reads.job(connection, job_id)


def _ground(storage: Storage, *, drained: bool) -> None:
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    if drained:
        storage.drain()


@pytest.mark.parametrize("drained", [False, True])
def test_a_read_is_planned_once_and_not_as_a_walk_of_what_was_empty(storage: Storage, drained: bool) -> None:
    """To plan one anew with each id takes longer than to run it."""
    _ground(storage, drained=drained)

    async def work(pool: DatabasePool) -> tuple[dict[str, tuple[int, int]], int]:
        async with pool.acquire() as connection:
            for _ in range(8):  # from the sixth on PostgreSQL chooses by what the plans have cost
                await _reads(connection, UUID(claims.NIL_UUID))
            planned = {text: (generic, custom) for text, generic, custom in await connection.fetch(PLANNED)}
            storage.fill(BACKLOG, "now()")
            async with connection.transaction():
                await _reads(connection, await connection.fetchval("SELECT id FROM live WHERE queue = 'default' ORDER BY pos LIMIT 1"))
                return planned, await connection.fetchval(WALKED)

    planned, walked = storage.with_pool(work)
    assert len(planned) == 5  # this question is one of them
    assert {custom for _, custom in planned.values()} == {0}, planned
    assert all(generic for generic, _ in planned.values()), planned
    assert walked == 0


@pytest.mark.parametrize("drained", [False, True])
def test_what_clients_ask_of_one_job_reads_few_others(storage: Storage, drained: bool) -> None:
    """Planned on an empty table, and kept."""
    _ground(storage, drained=drained)

    async def asks(connection: asyncpg.Connection, job_id: UUID) -> None:
        await explain.unfinished_job(connection, job_id, CAP)
        await explain.run_starts(connection, job_id)
        await explain.attempt_times(connection, job_id, CAP)
        await cancel_retry.cancel_job(connection, job_id)
        await explain.last_outcome(connection, job_id)
        await cancel_retry.retry_job(connection, job_id, None)

    async def work(pool: DatabasePool) -> tuple[int, int]:
        async with pool.acquire() as connection:
            for job in storage.new(8):
                await insert.insert_jobs(connection, [job])
                await asks(connection, job.id)
            storage.rows("UPDATE live SET pos = now() + interval '1 day'")
            storage.fill(BACKLOG, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 us'")
            last = await connection.fetchval("SELECT id FROM live WHERE queue = 'default' AND pos < now() ORDER BY pos DESC LIMIT 1")
            async with connection.transaction():
                before = await connection.fetchval(FOUND) or 0
                found = await explain.unfinished_job(connection, last, CAP)
                assert found is not None
                await asks(connection, last)
                return found["ahead"], await connection.fetchval(FOUND) - before

    ahead, read_of_live = storage.with_pool(work)
    assert ahead == CAP
    assert read_of_live < 10 * CAP


def test_what_sqlalchemy_runs_is_planned_for_what_it_asks(storage: Storage) -> None:
    def mode(connection: Connection) -> str:
        return str(connection.exec_driver_sql(MODE).scalar_one())

    async def work(pool: DatabasePool) -> list[str]:
        found = []
        for _ in range(2):
            async with pool.acquire() as connection:
                found.append(await connection.fetchval(MODE))
            found.append(await pool.run_sync(mode))
        return found

    assert storage.with_pool(work) == ["force_generic_plan", "auto"] * 2

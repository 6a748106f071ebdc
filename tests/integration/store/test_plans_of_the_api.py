"""The API's own connections: reads by id are planned once, lists for what they ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import asyncpg
import pytest
from integration.store.storage import Storage
from sqlalchemy import Connection

from common.store import claims, read
from common.store.pool import Pool

T = TypeVar("T")
MODE = "SELECT setting FROM pg_settings WHERE name = 'plan_cache_mode'"
PLANNED = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%job_states%'"
WALKED = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'"


async def _reads(connection: asyncpg.Connection, job_id: UUID) -> None:
    await read.status(connection, job_id)
    await read.result(connection, job_id)
    await read.seen(connection, [job_id])
    await read.job(connection, job_id)


def _with_pool(storage: Storage, work: Callable[[Pool], Awaitable[T]]) -> T:
    async def run() -> T:
        pool = Pool(storage.settings)
        try:
            return await work(pool)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize("drained", [False, True])
def test_a_read_is_planned_once_and_not_as_a_walk_of_what_was_empty(storage: Storage, drained: bool) -> None:
    """To plan one anew with each id takes longer than to run it."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    if drained:
        storage.fill(1_000)
        storage.rows("TRUNCATE jobs")
        storage.rows("DELETE FROM live")
        storage.rows("VACUUM ANALYZE")

    async def work(pool: Pool) -> tuple[dict[str, tuple[int, int]], int]:
        async with pool.driver() as connection:
            for _ in range(8):  # from the sixth on PostgreSQL chooses by what the plans have cost
                await _reads(connection, UUID(claims.NIL))
            planned = {text: (generic, custom) for text, generic, custom in await connection.fetch(PLANNED)}
            storage.fill(20_000, "now()")
            async with connection.transaction():
                await _reads(connection, await connection.fetchval("SELECT id FROM live WHERE queue = 'default' ORDER BY pos LIMIT 1"))
                return planned, await connection.fetchval(WALKED)

    planned, walked = _with_pool(storage, work)
    assert len(planned) == 4
    assert {custom for _, custom in planned.values()} == {0}, planned
    assert all(generic for generic, _ in planned.values()), planned
    assert walked == 0


def test_what_sqlalchemy_runs_is_planned_for_what_it_asks(storage: Storage) -> None:
    def mode(connection: Connection) -> str:
        return str(connection.exec_driver_sql(MODE).scalar_one())

    async def work(pool: Pool) -> list[str]:
        found = []
        for _ in range(2):
            async with pool.driver() as connection:
                found.append(await connection.fetchval(MODE))
            found.append(await pool.run_sync(mode))
        return found

    assert _with_pool(storage, work) == ["force_generic_plan", "auto"] * 2

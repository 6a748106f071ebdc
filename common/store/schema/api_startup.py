"""The wait of an API process at its start, by asyncpg."""

import asyncio

import asyncpg

from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.schema.obstacles import (
    PAUSE_S,
    Obstacle,
    SchemaState,
    StartupWait,
    of_error,
    of_version,
    version_query,
)


async def wait_for_schema(pool: DatabasePool, settings: Settings, needed: str) -> None:
    """Wait until the schema is at the revision `needed` or past it. Raises StartupError if that takes too long."""
    wait = StartupWait(settings)
    while not wait.is_over(await _find_obstacle(pool, settings, needed)):  # noqa: ASYNC110 - the database has no event
        await asyncio.sleep(PAUSE_S)


async def _find_obstacle(pool: DatabasePool, settings: Settings, needed: str) -> Obstacle | None:
    try:
        connection = await pool.connect()
        try:
            (row,) = await connection.fetch(SchemaState.query(settings))
            if obstacle := SchemaState(*row).obstacle(settings.database_schema):
                return obstacle
            return of_version(await connection.fetchval(version_query(settings)), needed, settings)
        finally:
            await connection.close(timeout=settings.database_timeout_seconds)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return of_error(error, settings)

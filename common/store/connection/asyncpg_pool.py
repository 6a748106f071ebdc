"""Connections of the API: asyncpg behind an async SQLAlchemy engine.

SQLAlchemy owns the pool, its limits and the replacing of dead connections; the hot statements go to the driver itself, which
prepares each once a connection (68 instead of 175 microseconds of CPU for a read by id).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from common.domain.errors import JobprocError, StoreUnavailable
from common.settings import Settings
from common.store.connection.pooler import application_name, pooled
from common.store.connection.statement import INDEX_PLAN_SETTINGS
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("api")

#: The database is away, or refuses service: to be tried again, never the client's fault.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    PoolTimeout,
    DBAPIError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.ReadOnlySQLTransactionError,
)


_POOLER_SETTINGS = "SELECT set_config('jit', 'off', true), set_config('statement_timeout', $1, true)"
# The driver's statements find their rows by id or key. Planned anew with each id, as PostgreSQL does where tables have partitions,
# a read took 0.42 instead of 0.12 ms of its time. What SQLAlchemy runs, such as lists, is planned for what it asks.
_CUSTOM_PLANS = "SELECT " + ", ".join(f"set_config('{setting}', '{'auto' if setting == 'plan_cache_mode' else 'on'}', true)" for setting in INDEX_PLAN_SETTINGS)


class PoolerConnection(asyncpg.Connection):
    """A connection through a pooler: what a statement takes and gives is asked for once, then it is parsed in the message that runs it.

    That takes a connection without a cache of statements: asyncpg then names none, and parses it with each run.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._statements: dict[str, PreparedStatement[asyncpg.Record]] = {}

    async def _prepared(self, query: str) -> "PreparedStatement[asyncpg.Record]":
        if query not in self._statements:
            self._statements[query] = await self.prepare(query)
        return self._statements[query]

    async def fetch(self, query: str, *arguments: object, **named: Any) -> Any:
        """Return the rows of a statement."""
        return await (await self._prepared(query)).fetch(*arguments, **named)

    async def fetchrow(self, query: str, *arguments: object, **named: Any) -> Any:
        """Return the first row of a statement."""
        return await (await self._prepared(query)).fetchrow(*arguments, **named)


class DatabasePool:
    """The API's connections."""

    def __init__(self, settings: Settings) -> None:
        self.pooled = pooled(settings)
        self._timeout_s = settings.database_timeout_seconds
        self._settings = settings
        self._max_tries = settings.api_pool_connections + 1  # the server may have ended every one of the pool
        self.statement_timeout_s = math.inf if self.pooled else self._timeout_s * 0.8  #: the server's limit of one statement
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=settings.api_pool_connections,
            max_overflow=0,
            pool_timeout=self._timeout_s,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
        )

    async def _connect(self) -> asyncpg.Connection:
        # The server gives a statement up while its client still waits: what is answered with 503 is not stored later.
        server, how = {"application_name": application_name(self._settings, "api")}, dict[str, Any]()
        if self.pooled:
            server["client_encoding"] = "UTF8"  # as PostgreSQL spells it: the driver's 'utf-8' would be set anew with each transaction
            how = {"connection_class": PoolerConnection, "statement_cache_size": 0}
        else:
            server |= {"timezone": "UTC", "jit": "off", "statement_timeout": f"{self.statement_timeout_s * 1000:.0f}", **INDEX_PLAN_SETTINGS}
        try:
            return await asyncpg.connect(self._settings.database_url, timeout=self._timeout_s, command_timeout=self._timeout_s, server_settings=server, **how)
        except asyncpg.PostgresError as error:  # SQLAlchemy would make a class of its own of it, outside of AWAY
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a driver's connection; a closed one is replaced first, one that failed is not given out again."""
        fairy = await self.engine.raw_connection()
        try:
            driver = fairy.driver_connection
            assert driver is not None  # noqa: S101 - set while it is lent
            if driver.is_closed():
                fairy.invalidate()
                fairy.close()
                fairy = await self.engine.raw_connection()
                driver = fairy.driver_connection
                assert driver is not None  # noqa: S101 - as above
            yield driver
        except JobprocError:  # the connection is well
            raise
        except BaseException:
            fairy.invalidate()
            raise
        finally:
            fairy.close()

    async def run(self, query: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do some reading within the time limit, on the next connection as long as they turn out to be dead.

        Raises StoreUnavailable when the database does not answer in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                for left in reversed(range(self._max_tries)):
                    try:
                        async with self.acquire() as connection:
                            return await query(connection)
                    except CONNECTION_ERRORS:
                        if not left:
                            raise
                raise AssertionError("a read is tried at least once")
        except CONNECTION_ERRORS as error:
            raise _unavailable(error) from error

    async def run_sync(self, query: Callable[[Connection], T]) -> T:
        """Run sync SQLAlchemy work in a transaction of its own. Raises StoreUnavailable as `read` does."""
        try:
            async with asyncio.timeout(self._timeout_s), self.engine.connect() as connection:
                await connection.execution_options(isolation_level="READ COMMITTED")
                async with connection.begin():
                    if self.pooled:
                        await connection.exec_driver_sql(_POOLER_SETTINGS, (f"{self._timeout_s * 800:.0f}",))
                    else:
                        await connection.exec_driver_sql(_CUSTOM_PLANS)
                    return await connection.run_sync(query)
        except CONNECTION_ERRORS as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _unavailable(error: BaseException) -> StoreUnavailable:
    """Say why: DBAPIError, which is in AWAY, may also be a statement that is wrong."""
    log.warning("database_away", reason=f"{type(error).__name__}: {error}".strip())
    return StoreUnavailable()

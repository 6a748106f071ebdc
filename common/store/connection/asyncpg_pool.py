"""Connections of the API: asyncpg behind an async SQLAlchemy engine.

SQLAlchemy owns the pool, its limits and the replacement of dead connections. Frequent statements go to the driver
itself, which prepares each once a connection (68 instead of 175 microseconds of CPU for a read by id).
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from common.domain.errors import JobprocError, ReadTimeout, StoreUnavailable
from common.settings import Settings
from common.store.connection.asyncpg_connector import AsyncpgConnector, PoolerConnection
from common.store.connection.caller import TENANTS_SETTING, array, set_caller
from common.store.connection.lanes import ClientLeft, ConnectionLanes, Lane
from common.store.connection.outages import is_outage_code
from common.store.connection.pooler import application_name, pooled
from common.store.connection.search_path import search_path
from common.store.connection.statement import CUSTOM_PLAN_SETTINGS, INDEX_PLAN_SETTINGS, set_local
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("api")

_QUERY_CANCELED = asyncpg.QueryCanceledError.sqlstate


def is_outage(error: BaseException) -> bool:
    """Return True if the database is unavailable or refuses service: worth a retry, never the client's fault."""
    if isinstance(error, DBAPIError):  # of SQLAlchemy, around the driver's
        cause = error.orig.__cause__ if error.orig else None
        return error.connection_invalidated or cause is None or is_outage(cause)
    if isinstance(error, asyncpg.InvalidCachedStatementError):  # a migration has changed the table
        return True
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate is None or is_outage_code(error.sqlstate)
    if isinstance(error, (OSError, PoolTimeout)):
        return True
    is_of_driver = isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    return is_of_driver and not isinstance(error, ValueError)  # those about values are ValueErrors too


class DatabasePool:
    """The API's connection pool, of which each request gets a connection in its lane."""

    def __init__(self, settings: Settings) -> None:
        self.pooled = pooled(settings)
        self._timeout_s = settings.database_timeout_seconds
        self._settings = settings
        self._connector = AsyncpgConnector(settings, self._timeout_s)
        self._max_tries = settings.api_pool_connections + 1  # the server may have closed every pooled connection
        #: the server's limit of one statement. Below the client's: a request that got 503 is not stored later
        self.statement_timeout_s = math.inf if self.pooled else self._timeout_s * 0.8
        self._expensive_timeout_s = min(settings.expensive_read_timeout_seconds, self._timeout_s * 0.8)
        self.lanes = ConnectionLanes(
            settings.api_pool_connections,
            settings.expensive_read_max_waiting_clients,
            settings.expensive_read_max_wait_seconds,
        )
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=settings.api_pool_connections,
            max_overflow=0,
            pool_timeout=self._timeout_s,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # of statements, in the texts of errors: they reach the log
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)

    async def connect(self) -> asyncpg.Connection:
        """Return a connection outside of the pool. Raises OSError, TimeoutError or asyncpg's errors."""
        server_settings = {"application_name": application_name(self._settings, "api")}
        options: dict[str, Any] = {}
        if self.pooled:
            # In PostgreSQL's spelling: a pooler would set the driver's 'utf-8' again with each transaction.
            server_settings["client_encoding"] = "UTF8"
            options = {"connection_class": PoolerConnection, "statement_cache_size": 0}
        else:
            server_settings |= {
                "search_path": search_path(self._settings),
                "timezone": "UTC",
                "default_transaction_isolation": "read committed",
                "jit": "off",
                "statement_timeout": f"{self.statement_timeout_s * 1000:.0f}",
                # The driver's statements find their rows by id or key. With custom plans, which PostgreSQL prefers on
                # partitioned tables, a read by id took 0.42 instead of 0.12 ms of the server's time.
                **INDEX_PLAN_SETTINGS,
            }
        connection = await self._connector.connect(server_settings, command_timeout=self._timeout_s, **options)
        if self.pooled:  # isinstance would be true of any class of connections
            cast("PoolerConnection", connection).search_path = search_path(self._settings)
        return connection

    async def _connect(self) -> asyncpg.Connection:
        try:
            return await self.connect()
        except asyncpg.PostgresError as error:  # whatever it is: the database refuses service
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def acquire(self, lane: Lane) -> AsyncIterator[asyncpg.Connection]:
        """Lend a driver's connection. The caller limits the time."""
        await self.lanes.enter(lane)
        try:
            async with self._lend() as connection:
                yield connection
        finally:
            self.lanes.leave(lane)

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection to a request in its lane. One that failed is not lent again."""
        lent = await self.engine.raw_connection()
        try:
            assert lent.driver_connection is not None  # noqa: S101 - set while it is lent
            yield lent.driver_connection
        except JobprocError:  # the connection is intact
            raise
        except BaseException:
            lent.invalidate()
            raise
        finally:
            lent.close()

    async def run(
        self,
        query: Callable[[asyncpg.Connection], Awaitable[T]],
        lane: Lane,
        client_left: ClientLeft | None = None,
        tenant: int | None = None,
    ) -> T:
        """Run a query that may be repeated. On a dead connection it is retried on the next one, within one time limit.

        `tenant`: of the caller of an expensive read; in other lanes each statement names its own.
        Raises StoreUnavailable when the database does not answer in time. In the lane of expensive reads it also raises
        TooManyReads (see ConnectionLanes.enter), or ReadTimeout when a statement takes too long.
        """
        if lane is Lane.EXPENSIVE:
            query = self._with_read_timeout(query, tenant)
        return await self._run_in_lane(partial(self._run, query), lane, client_left)

    async def _run(self, query: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async with self._lend() as connection:
            return await query(connection)

    async def _run_in_lane(self, run_once: Callable[[], Awaitable[T]], lane: Lane, client_left: ClientLeft | None) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.lanes.enter(lane, client_left)
                try:
                    return await self._repeat(run_once)
                finally:
                    self.lanes.leave(lane)
        except Exception as error:
            if is_outage(error):
                raise _unavailable(error) from error
            raise

    async def _repeat(self, run_once: Callable[[], Awaitable[T]]) -> T:
        """Return the first result that no outage prevents. The caller limits the time."""
        for _ in range(self._max_tries - 1):
            try:
                return await run_once()
            except Exception as error:
                if not is_outage(error):
                    raise
        return await run_once()

    def _with_read_timeout(
        self, query: Callable[[asyncpg.Connection], Awaitable[T]], tenant: int | None
    ) -> Callable[[asyncpg.Connection], Awaitable[T]]:
        """Return a query that runs for a tenant in one transaction, with the statement timeout of expensive reads."""
        timeout = f"SET LOCAL statement_timeout = {self._expensive_timeout_s * 1000:.0f}"
        begin = timeout if tenant is None else f"{timeout}; SELECT {set_caller([tenant])}"

        async def run_limited(connection: asyncpg.Connection) -> T:
            try:
                async with connection.transaction():
                    await connection.execute(begin)
                    return await query(connection)
            except asyncpg.QueryCanceledError as error:
                raise self._read_timeout(error) from error

        return run_limited

    def _read_timeout(self, error: Exception) -> ReadTimeout:
        log.warning("read_timeout", reason=f"{type(error).__name__}: {error}")
        return ReadTimeout(self._expensive_timeout_s)

    async def run_sync(
        self,
        query: Callable[[Connection], T],
        lane: Lane,
        client_left: ClientLeft | None = None,
        tenant: int | None = None,
    ) -> T:
        """Run sync SQLAlchemy code that may be repeated, in a transaction of its own. Retries and raises as `run`.

        `tenant`: that of the caller; None: the code reads no rows of tenants.
        """
        return await self._run_in_lane(partial(self._run_sync, query, lane, tenant), lane, client_left)

    async def _run_sync(self, query: Callable[[Connection], T], lane: Lane, tenant: int | None) -> T:
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level="READ COMMITTED")
                async with connection.begin():
                    await connection.exec_driver_sql(set_local(self._transaction_settings(lane, tenant)))
                    return await connection.run_sync(query)
        except DBAPIError as error:
            if lane is Lane.EXPENSIVE and _is_cancelled_by_server(error):
                raise self._read_timeout(error) from error
            raise

    def _transaction_settings(self, lane: Lane, tenant: int | None) -> Mapping[str, str]:
        """Return the settings of a transaction of `run_sync`: lists are planned for their filters."""
        timeout_s = self._expensive_timeout_s if lane is Lane.EXPENSIVE else self._timeout_s * 0.8
        settings = {"jit": "off"} if self.pooled else CUSTOM_PLAN_SETTINGS
        caller = {} if tenant is None else {TENANTS_SETTING: array([tenant])}
        return {**settings, **caller, "statement_timeout": f"{timeout_s * 1000:.0f}"}

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _refuse_closed(connection: Any, _record: object, _lent: object) -> None:
    """Make the pool replace a connection that the server has ended, before it is lent."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _unavailable(error: BaseException) -> StoreUnavailable:
    """Log the cause of an outage."""
    log.warning("database_unavailable", reason=f"{type(error).__name__}: {error}".strip())
    return StoreUnavailable()


def _is_cancelled_by_server(error: DBAPIError) -> bool:
    """Return True if PostgreSQL has cancelled the statement."""
    return getattr(error.orig, "sqlstate", None) == _QUERY_CANCELED

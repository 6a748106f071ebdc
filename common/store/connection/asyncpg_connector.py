"""A connection of asyncpg: its host, the parameters that the driver does not know, its statements through a pooler."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from common.server_urls.database import DatabaseServer
from common.settings import SecretFileError, Settings
from common.store.connection.keepalives import set_keepalives
from common.store.connection.search_path import NO_TABLES, qualified

_TLS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
# Each statement of a transaction expects to see what was committed before it. One alone does without: under a stricter
# default of the database, PostgreSQL refuses it if it has seen too little, and it is repeated.
_READ_COMMITTED = "SET LOCAL transaction_isolation = 'read committed';"
# As libpq, which does not try the next host after a refused password.
_NEXT_HOST = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)


class AsyncpgConnector:
    """Connects to the first host that answers and accepts writes; the host of the last connection is tried first.

    asyncpg tries several hosts itself, but in one time limit: a host that is silent would take all of it.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        """`timeout_s` limits the time of a connection, over all hosts."""
        self._settings = settings
        server = settings.database_server
        self._hosts = list(server.hosts)
        limit_s = float(server.parameters.get("connect_timeout", timeout_s))
        self._host_timeout_s = min(limit_s, timeout_s / len(self._hosts))

    async def connect(self, server_settings: Mapping[str, str], **options: Any) -> asyncpg.Connection:
        """Return a connection. Raises OSError, TimeoutError or asyncpg's errors, of the last host that was tried.

        The files of secrets are read anew.
        """
        try:
            server = self._settings.current_database_server()
        except SecretFileError as failure:
            raise ConnectionError(str(failure)) from failure
        settings = dict(server_settings)
        if session_options := server.parameters.get("options"):
            settings["options"] = session_options
        error: Exception | None = None
        for host, port in list(self._hosts):
            try:
                connection = await self._connect(server, host, port, server_settings=settings, **options)
            except _NEXT_HOST as failure:
                error = failure
            else:
                self._hosts.remove((host, port))
                self._hosts.insert(0, (host, port))
                return connection
        assert error is not None  # noqa: S101 - there is at least one host
        raise error

    async def _connect(self, server: DatabaseServer, host: str, port: int, **options: Any) -> asyncpg.Connection:
        tls = {name: server.parameters[name] for name in _TLS if name in server.parameters}
        # In a URL, because it takes the names of files in no other way.
        parameters = {"sslmode": "prefer", "target_session_attrs": server.target_session_attrs} | tls
        connection: asyncpg.Connection = await asyncpg.connect(
            f"postgresql://?{urlencode(parameters, quote_via=quote)}",
            host=host,
            port=port,
            user=server.user,
            password=server.password,
            database=server.database,
            timeout=self._host_timeout_s,
            **options,
        )
        transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - the driver does not give it
        set_keepalives(transport.get_extra_info("socket"), server.parameters)
        return connection


class PoolerConnection(asyncpg.Connection):
    """A connection through a pooler. It describes a statement once; each run parses and executes it in one message.

    This needs a connection without a statement cache: asyncpg then parses an unnamed statement with each run. The
    search path goes with the message that begins a transaction. A statement with arguments that is a transaction of its
    own has no room for it: its tables are named with their schema.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.search_path = NO_TABLES  # until the pool sets it
        self._alone: dict[str, PreparedStatement[asyncpg.Record]] = {}
        self._in_transaction: dict[str, PreparedStatement[asyncpg.Record]] = {}

    async def _described(self, query: str) -> "PreparedStatement[asyncpg.Record]":
        if self.is_in_transaction():
            if query not in self._in_transaction:
                self._in_transaction[query] = await self.prepare(query)
            return self._in_transaction[query]
        if query not in self._alone:
            # PostgreSQL then refuses a name that `qualified` has missed: it could be another program's table.
            await super().execute(f"BEGIN; SET LOCAL search_path = {NO_TABLES}")
            try:
                self._alone[query] = await self.prepare(qualified(query, self.search_path))
            finally:
                await super().execute("ROLLBACK")
        return self._alone[query]

    async def fetch(self, query: str, *arguments: object, **options: Any) -> Any:
        """Return the rows of a statement."""
        return await (await self._described(query)).fetch(*arguments, **options)

    async def fetchrow(self, query: str, *arguments: object, **options: Any) -> Any:
        """Return the first row of a statement."""
        return await (await self._described(query)).fetchrow(*arguments, **options)

    async def fetchval(self, query: str, *arguments: object, column: Any = 0, **options: Any) -> Any:
        """Return a value of the first row, None without rows."""
        row = await self.fetchrow(query, *arguments, **options)
        return None if row is None else row[column]

    async def execute(self, query: str, *arguments: object, **options: Any) -> Any:
        """Run statements without arguments, or one with arguments; return the status of the last one."""
        if query.startswith("BEGIN"):
            query = f"{query.rstrip(';')}; {_READ_COMMITTED} SET LOCAL search_path = {self.search_path}"
        elif not self.is_in_transaction():
            alone = f"{_READ_COMMITTED} SET LOCAL search_path = {self.search_path}; {query}"
            query = qualified(query, self.search_path) if arguments else alone
        return await super().execute(query, *arguments, **options)

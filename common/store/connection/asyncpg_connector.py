"""A new connection of asyncpg: the host, and the parameters that the driver itself does not know."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg

from common.server_urls.database import DatabaseServer
from common.settings import SecretFileError, Settings
from common.store.connection.keepalives import set_keepalives

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

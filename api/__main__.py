"""`python -m api --host 0.0.0.0 --port 8000`: run an API process."""

import asyncio
import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import uvicorn

from api.app import create_app
from api.auth.listening import check_authentication
from api.limits.connections import ConnectionLimits, LimitedConnection, connection_limit
from api.protocol.client_timeouts import ClientTimeouts
from api.protocol.irregularities import Irregularities
from api.protocol.limits import ProtocolLimits
from api.protocol.tls import ServerTls, server_tls
from api.services import Services
from api.telemetry.metrics import ApiMetrics
from common import process_environment
from common.command_line import command_line
from common.domain.errors import StartupError
from common.hangup import end_on_hangup
from common.migrations import head
from common.settings import Settings, secret_variables, variables_of
from common.store.schema.api_startup import wait_for_schema
from common.telemetry import logs, traces

log = logs.get("api")
BACKLOG = 2048
DRAIN_POLL_S = 0.05  # interval of the checks for open connections while draining


class DrainingServer(uvicorn.Server):
    """A uvicorn server with graceful shutdown for keep-alive connections.

    A kept connection is closed with a response that says `Connection: close`, never under a request in flight.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_s: float,
        client_timeouts: ClientTimeouts,
        limits: ConnectionLimits,
        services: Callable[[], Services],
        tls: ServerTls | None,
    ) -> None:
        """`drain_s`: how long kept connections may stay open at shutdown. `services`: those of the running app."""
        super().__init__(config)
        self._tls = tls
        self._services = services
        self._startup_error: StartupError | None = None
        self._drain_s = drain_s
        self._client_timeouts = client_timeouts
        self._limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, and log where."""
        await super().startup(sockets)
        if self.started:
            urls = [url for listener in sockets or () for url in _urls(listener, "https" if self._tls else "http")]
            log.info("api_serving", urls=urls, docs=f"{urls[0]}/docs" if urls else None)

    async def main_loop(self) -> None:
        """Serve requests, close connections of clients that are too slow, and notice a lack of open files."""
        checks = [
            asyncio.create_task(self._wait_for_schema()),
            asyncio.create_task(self._client_timeouts.run(self.server_state.connections)),
            asyncio.create_task(self._limits.watch_open_files()),
        ]
        if self._tls is not None:
            checks.append(asyncio.create_task(self._tls.watch()))
        await super().main_loop()
        for check in checks:
            check.cancel()

    async def _wait_for_schema(self) -> None:
        """End the server if the database lacks what it needs for too long. Meanwhile it answers, and is not ready."""
        services = self._services()
        try:
            await wait_for_schema(services.pool, services.settings, head())
        except StartupError as error:
            self._startup_error = error
            self.should_exit = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it. Raises StartupError if the database lacks what it needs."""
        super().run(sockets)
        if self._startup_error is not None:
            raise self._startup_error

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no new connections, close kept ones with their next response, then shut down as uvicorn does."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self._services().drain()
        end = time.monotonic() + self._drain_s
        connections = self.server_state.connections
        while connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(DRAIN_POLL_S)
        await super().shutdown(sockets)


def main() -> None:
    """Run the API until it is stopped by a signal."""
    parser = command_line("api", "Takes submissions over HTTP.", variables_of("api"))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
        process_environment.remove(secret_variables())
        logs.configure(settings, "api")
        traces.configure("api")
        log.info("starting", settings=settings.masked(), host=arguments.host, port=arguments.port)
        check_authentication(settings, arguments.host)
        tls = server_tls(settings)
        max_connections = connection_limit(settings, _raise_open_file_limit())
        listener = _listen(arguments.host, arguments.port)
        app = create_app(settings)
        limits = ConnectionLimits(settings, max_connections, app.state.metrics.refusals)
        config = uvicorn.Config(
            app,
            loop="uvloop",
            proxy_headers=False,  # api/limits/addresses.py reads them where they count
            http=_protocol(settings, limits, app.state.metrics),
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,  # longer than a load balancer's, so that the load balancer closes the connection
            timeout_graceful_shutdown=round(settings.shutdown_grace_seconds - settings.keepalive_drain_seconds),
        )

        if tls is not None:
            config.load()
            config.ssl = tls.context  # instead of the one that uvicorn makes of files, and never again

        def services() -> Services:
            return cast("Services", app.state.services)

        end_on_hangup()
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after an orderly shutdown
            timeouts = ClientTimeouts(settings.request_header_timeout_seconds, settings.response_write_timeout_seconds)
            server = DrainingServer(config, settings.keepalive_drain_seconds, timeouts, limits, services, tls)
            server.run(sockets=[listener])
    except StartupError as error:
        sys.exit(f"api: {error}")


def _protocol(settings: Settings, limits: ConnectionLimits, metrics: ApiMetrics) -> type[asyncio.Protocol]:
    """Return what makes the protocol of each connection."""
    protocol = partial(
        LimitedConnection,
        limits=limits,
        protocol_limits=ProtocolLimits.from_settings(settings),
        irregularities=Irregularities(metrics.irregular_requests),
    )
    return cast("type[asyncio.Protocol]", protocol)


def _raise_open_file_limit() -> int:
    """Raise the limit of open files, hence of connections, to the hard limit; return it. Thousands of clients wait."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise StartupError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    return listener


def _urls(listener: socket.socket, scheme: str) -> list[str]:
    """Return the URLs of a listening socket; of one on all interfaces that of this machine, and that by its name."""
    host, port = listener.getsockname()[:2]
    hosts = {"0.0.0.0": ["127.0.0.1", socket.gethostname()], "::": ["[::1]", socket.gethostname()]}  # noqa: S104 - compared
    return [f"{scheme}://{name}:{port}" for name in hosts.get(host, [f"[{host}]" if ":" in host else host])]


if __name__ == "__main__":
    main()

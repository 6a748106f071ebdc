"""`python -m api --host 0.0.0.0 --port 8000`: take submissions."""

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import sys
import time
from collections.abc import Callable

import uvicorn

from api.app import create_app
from api.web.client_timeouts import ClientTimeouts
from common.domain.errors import StartupError
from common.settings import Settings
from common.telemetry import logs, traces

log = logs.get("api")
BACKLOG = 2048
DRAIN_POLL_S = 0.05  # between two looks at what is still connected


class DrainingServer(uvicorn.Server):
    """Leaves its clients in order: a kept connection is closed by an answer that says so, not under a request that is on its way."""

    def __init__(self, config: uvicorn.Config, drain_s: float, client_timeouts: ClientTimeouts, on_shutdown: Callable[[], None]) -> None:
        """`leave` has those answered who wait for something."""
        super().__init__(config)
        self._on_shutdown = on_shutdown
        self._drain_s = drain_s
        self._client_timeouts = client_timeouts

    async def main_loop(self) -> None:
        """Serve, and break off clients that keep a connection waiting."""
        watch = asyncio.create_task(self._client_timeouts.run(self.server_state.connections))
        await super().main_loop()
        watch.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, let the kept ones end with their next answer, then end as uvicorn does."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        self._on_shutdown()
        end = time.monotonic() + self._drain_s
        while self.server_state.connections and time.monotonic() < end and not self.force_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(DRAIN_POLL_S)
        await super().shutdown(sockets)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="python -m api", description="Takes submissions over HTTP. Settings come from the environment (docs/reference/settings.md)."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings, "api")
        traces.configure("api")
        log.info("starting", settings=settings.masked(), host=arguments.host, port=arguments.port)
        _raise_open_file_limit()
        listening = _listen(arguments.host, arguments.port)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,  # longer than a load balancer's, so that it is the one to close
            timeout_graceful_shutdown=round(settings.grace_seconds - settings.leave_seconds),
        )

        def leave() -> None:
            app.state.services.waiting.leave()

        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more after it has ended in order
            patience = ClientTimeouts(settings.head_timeout_seconds, settings.answer_timeout_seconds)
            DrainingServer(config, settings.leave_seconds, patience, leave).run(sockets=[listening])
    except StartupError as error:
        sys.exit(f"api: {error}")


def _raise_open_file_limit() -> None:
    """Allow as many open files, so connections, as the system lets this process have: thousands may wait."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        raise StartupError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    return listening


if __name__ == "__main__":
    main()

"""Limits of connections: a number below the limit of open files, and a share of it for one address.

A connection beyond them gets 503 at once and is closed, so that the kernel's queue of new connections never fills.
"""

import asyncio
import os
from typing import Any

from api.limits.addresses import ClientAddresses, address_key
from api.limits.places import Limit, Places
from api.limits.refusals import Refusals
from api.limits.unread import UnreadResponses
from api.protocol.connection import HttpConnection
from api.protocol.refusals import last_response
from api.web.problem_kinds import TOO_MANY_CONNECTIONS
from api.web.problems import ProblemError
from common.domain.errors import StartupError
from common.settings import Settings
from common.telemetry import refusal_reasons

MAX_DEFAULT_CONNECTIONS = 20_000  # about 200 MB of memory
RESERVED_FILES = 128  # for Redis, metrics, probes, log files and libraries; the database's connections are added
FILE_CHECK_INTERVAL_S = 1.0
#: Bytes of a response beyond which the client must read before more is written: enough for most whole responses, and
#: little for each of thousands of clients that do not read.
WRITE_BUFFER_BYTES = 16_384
_REFUSAL = last_response(ProblemError(TOO_MANY_CONNECTIONS))
_REASONS = {Limit.PROCESS: refusal_reasons.CONNECTIONS, Limit.ADDRESS: refusal_reasons.CONNECTIONS_OF_ADDRESS}


def connection_limit(settings: Settings, max_open_files: int) -> int:
    """Return the largest number of connections under a limit of open files.

    Raises StartupError if the limit of open files is too low for the setting, or for any connection.
    """
    available = max_open_files - RESERVED_FILES - settings.api_pool_connections
    if available < max(1, settings.max_connections):
        wanted = f"JOBPROC_MAX_CONNECTIONS={settings.max_connections}" if settings.max_connections else "connections"
        needed = max(1, settings.max_connections) + max_open_files - available
        raise StartupError(f"{wanted}: a limit of {needed} open files is needed (ulimit -Hn), it is {max_open_files}")
    return settings.max_connections or min(available, MAX_DEFAULT_CONNECTIONS)


class ConnectionLimits:
    """Admits connections while there are places, and limits the responses that their clients have not read."""

    def __init__(self, settings: Settings, max_connections: int, refusals: Refusals) -> None:
        self._places = Places(max_connections, settings.max_percent_per_address)
        self._addresses = ClientAddresses(settings.trusted_proxies)
        self._refusals = refusals
        self.unread = UnreadResponses(settings.max_unread_response_bytes, refusals)

    def admit(self, host: str) -> bool:
        """Take a place for a connection; return False if it is refused."""
        limit = self._places.take(self._counted(host))
        if limit is not None:
            self._refusals.count(_REASONS[limit], host)
        return limit is None

    def leave(self, host: str) -> None:
        """Free the place of an admitted connection."""
        self._places.free(self._counted(host))

    def _counted(self, host: str) -> str | None:
        """Return the address that is counted for a connection; None for a trusted proxy, whose clients are many."""
        return None if self._addresses.is_trusted(host) else address_key(host)

    async def watch_open_files(self) -> None:
        """Count and log each second in which no file can be opened, until cancelled.

        The event loop then closes new connections without a word.
        """
        while True:
            try:
                os.close(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                self._refusals.count(refusal_reasons.OPEN_FILES)
            await asyncio.sleep(FILE_CHECK_INTERVAL_S)


class LimitedConnection(HttpConnection):
    """A connection that takes a place, or is refused."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._admitted_host: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Serve the connection if it is admitted, else answer 503 and close it."""
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if peer else ""
        if not self._limits.admit(host):
            self.transport = transport
            transport.write(_REFUSAL)
            transport.close()
            return
        self._admitted_host = host
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        if self._admitted_host is not None:
            self._limits.leave(self._admitted_host)
        self._limits.unread.remove(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Count the bytes that wait for the client."""
        super().pause_writing()
        self._limits.unread.add(self, self.transport, self._admitted_host or "")

    def resume_writing(self) -> None:
        """Forget the bytes that the client has read."""
        self._limits.unread.remove(self)
        super().resume_writing()

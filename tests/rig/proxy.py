"""A TCP proxy that injects faults in front of PostgreSQL or Redis. Runs in a thread of the test; needs no root."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tools.servers import free_port

HOST = "127.0.0.1"
CALL_S = 10.0  # the longest time that the proxy's thread may take for a command
#: The last message that PostgreSQL sends when one of its processes was killed: it ends all connections.
CRASH_WARNING = b"N\x00\x00\x00\x49SWARNING\0VWARNING\0C57P02\0Mterminating connection because of a crash\0\0"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST and not FIN


class _Link:
    """A client's connection and its connection to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.dropped = False  #: no data passes any more, and neither side gets an error

    def reset(self, last: bytes = b"") -> None:
        with contextlib.suppress(RuntimeError):  # the server has closed its side already
            self.writers[0].write(last)
        for writer in self.writers:
            with contextlib.suppress(OSError):
                if (connection := writer.get_extra_info("socket")) is not None:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Forwards connections to a port of this machine until a fault is injected.

    `heal` ends every fault, but connections lost by `drop` and `reset` stay lost.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0  #: connections since the start
        self.target = target
        self._tls = tls  #: of the clients' connections; those to the server have none
        self._links: set[_Link] = set()
        self._silent = False
        self._swallows = False
        self._swallows_from: re.Pattern[bytes] | None = None
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._do(self._listen())

    # --- faults

    @classmethod
    def before(cls, url: str) -> Self:
        """Start a proxy in front of the server of a URL."""
        return cls(urlsplit(url).port or 0)

    def url_of(self, url: str) -> str:
        """Return the URL of the server with the port of this proxy."""
        return url.replace(f":{self.target}/", f":{self.port}/")

    def refuse(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._do(self._refuse())

    def silence(self) -> None:
        """Accept new connections and never answer them; open connections continue."""
        self._do(self._set(silent=True))

    def hang(self) -> None:
        """Forward no data and close no connection until healed; then forward everything that was held back."""
        self._do(self._set(flows=False))

    def drop(self) -> None:
        """Forget the open connections, as a NAT does: they stay open, but no data passes. New connections work."""
        self._do(self._drop())

    def reset(self, last: bytes = b"") -> None:
        """Reset every connection, after these last bytes to its client; new connections work at once."""
        self._do(self._reset(last))

    def swallow(self, first: bytes = b"") -> None:
        """Forward requests and discard the server's responses, until healed.

        `first`: a regular expression; the responses are discarded from the first request on that has such a part.
        """
        self._do(self._set(swallows=not first, swallows_from=re.compile(first) if first else None))

    def delay(self, seconds: float) -> None:
        """Delay all data by `seconds`."""
        self._do(self._set(delay_s=seconds))

    def heal(self) -> None:
        """End every fault, except connections lost by `drop` and `reset`."""
        self._do(self._listen())
        self._do(self._set())

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._links)

    # --- in the proxy's thread

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, ssl=self._tls)

    async def _set(
        self,
        *,
        silent: bool = False,
        flows: bool = True,
        swallows: bool = False,
        delay_s: float = 0.0,
        swallows_from: re.Pattern[bytes] | None = None,
    ) -> None:
        self._silent, self._swallows, self._delay_s = silent, swallows, delay_s
        self._swallows_from = swallows_from
        if flows:
            self._flows.set()
        else:
            self._flows.clear()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self, last: bytes = b"") -> None:
        for link in list(self._links):
            link.reset(last)

    async def _drop(self) -> None:
        for link in self._links:
            link.dropped = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer)
        self._links.add(link)
        try:
            if self._silent:
                await reader.read()  # until the client gives up
                return
            server_reader, server_writer = await asyncio.open_connection(HOST, self.target)
            link.writers.append(server_writer)
            await asyncio.gather(
                self._pump(link, reader, server_writer, responses=False),
                self._pump(link, server_reader, writer, responses=True),
            )
        except (OSError, asyncio.CancelledError):
            pass  # a side has disconnected, the server does not listen, or the proxy closes
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, responses: bool
    ) -> None:
        while data := await source.read(65_536):
            await self._flows.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if not responses and self._swallows_from and self._swallows_from.search(data):
                self._swallows = True
            if link.dropped or (responses and self._swallows):
                continue
            sink.write(data)
            await sink.drain()
        await self._flows.wait()
        if not link.dropped and not sink.is_closing():
            if sink.can_write_eof():
                sink.write_eof()
            else:  # TLS knows no half-closed connection
                sink.close()

    # --- close

    async def _close(self) -> None:
        await self._refuse()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """Stop the proxy and close every connection."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

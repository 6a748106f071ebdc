"""A TCP proxy that fails on request: put it in front of PostgreSQL or Redis. Runs in a thread of the test; no root needed."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from tools.servers import free_port

HOST = "127.0.0.1"
CALL_S = 10.0  # longest that the proxy's own thread may take to do what it is told
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST and not FIN


class _Link:
    """One client's connection and the one to the server behind."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.dropped = False  #: nothing passes any more, and nobody is told

    def reset(self) -> None:
        for writer in self.writers:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Passes bytes to a port of this machine, or does not.

    `heal` ends every fault but what `drop` and `reset` did: those connections are lost for good.
    """

    def __init__(self, target: int) -> None:
        self.accepted = 0  #: connections since the start
        self.target = target
        self._links: set[_Link] = set()
        self._silent = False
        self._swallows = False
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

    def refuse(self) -> None:
        """Refuse new connections and reset those that are there."""
        self._do(self._refuse())

    def silence(self) -> None:
        """Accept new connections and never answer them; those that are there go on."""
        self._do(self._set(silent=True))

    def hang(self) -> None:
        """Pass nothing on and close nothing, until healed: then everything that waited is passed on."""
        self._do(self._set(flows=False))

    def drop(self) -> None:
        """Forget the connections that are there, as a NAT does: they never end and nothing passes. New ones work."""
        self._do(self._drop())

    def reset(self) -> None:
        """Reset every connection; new ones work at once."""
        self._do(self._reset())

    def swallow(self) -> None:
        """Pass on what clients say and lose what the server answers, until healed."""
        self._do(self._set(swallows=True))

    def delay(self, seconds: float) -> None:
        """Pass everything on late."""
        self._do(self._set(delay_s=seconds))

    def heal(self) -> None:
        """End every fault."""
        self._do(self._listen())
        self._do(self._set())

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    # --- in the proxy's thread

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _set(self, *, silent: bool = False, flows: bool = True, swallows: bool = False, delay_s: float = 0.0) -> None:
        self._silent, self._swallows, self._delay_s = silent, swallows, delay_s
        if flows:
            self._flows.set()
        else:
            self._flows.clear()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

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
            back, forth = await asyncio.open_connection(HOST, self.target)
            link.writers.append(forth)
            await asyncio.gather(self._pump(link, reader, forth, answers=False), self._pump(link, back, writer, answers=True))
        except (OSError, asyncio.CancelledError):
            pass  # an end has gone, nobody listens behind, or the proxy closes
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            await self._flows.wait()
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if link.dropped or (answers and self._swallows):
                continue
            sink.write(data)
            await sink.drain()
        await self._flows.wait()
        if not link.dropped:
            sink.write_eof()

    # --- its end

    async def _close(self) -> None:
        await self._refuse()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        """End it and every connection."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

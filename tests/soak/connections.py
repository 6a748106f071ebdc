"""Kept HTTP/1.1 connections, as many as there are open calls: a stall makes no queue in the client, and a call costs it little.

httpx's pool looks at every waiting call for each one that ends: a backlog of hundreds, made by a moment's stall, never went away again.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ERRORS = (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError)


class Connections:
    """Connections to one server."""

    def __init__(self, url: str, answer_s: float) -> None:
        """`answer_s`: the longest wait for an answer."""
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._answer_s = answer_s
        self._idle: list[Ends] = []

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer. Raises what is in ERRORS."""
        sent = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        async with asyncio.timeout(self._answer_s):
            reader, writer = await self._one()
            try:
                writer.write(head.encode() + sent)
                status, found = await self._read(reader)
            except BaseException:
                writer.close()
                raise
        self._idle.append((reader, writer))
        return status, json.loads(found)

    async def _one(self) -> Ends:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), await reader.readexactly(int(headers["content-length"]))

    async def close(self) -> None:
        """Close those that are idle."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

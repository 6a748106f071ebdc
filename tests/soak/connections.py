"""Keep-alive HTTP/1.1 connections, one for each open call: a stall makes no queue in the client, and calls are cheap.

httpx's pool scans every waiting call for each one that ends: a backlog of hundreds, after a short stall, never shrank.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ERRORS = (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError)


class Connections:
    """Connections to one server."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """`timeout_s`: the longest wait for a response."""
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._timeout_s = timeout_s
        self._idle: list[Streams] = []

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the JSON of a response. Raises one of ERRORS."""
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: soak\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        async with asyncio.timeout(self._timeout_s):
            reader, writer = await self._connection()
            try:
                writer.write(head.encode() + content)
                status, response = await self._read(reader)
            except BaseException:
                writer.close()
                raise
        self._idle.append((reader, writer))
        return status, json.loads(response)

    async def _connection(self) -> Streams:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status_line.split()[1]), await reader.readexactly(int(headers["content-length"]))

    async def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

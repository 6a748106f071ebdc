"""Slow-loris guard: closes connections of clients that send no complete request header or do not read a response.

Request bodies have their own timeout (api/web/request_body.py). uvicorn closes idle keep-alive connections.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CHECK_INTERVAL_S = 1.0
_REQUEST_HEADER, _RESPONSE_WRITE = "request_header", "response_write"
_Pending = tuple[str, int]  # the awaited action of the client, and the identity of the connection's last request


class ClientTimeouts:
    """Closes connections that have waited too long for their client.

    Checking all connections once a second adds no cost to a request.
    """

    def __init__(self, request_header_s: float, response_write_s: float) -> None:
        """Set the limits in seconds: for a complete request header, and for the client to read a response."""
        self._limits_s = {_REQUEST_HEADER: request_header_s, _RESPONSE_WRITE: response_write_s}
        self._pending_since: dict[HttpToolsProtocol, tuple[_Pending, float]] = {}

    def close_expired(self, connections: Iterable[Any], now_s: float) -> int:
        """Close the connections whose limit has passed at `now_s` of a monotonic clock; return their number."""
        previous, self._pending_since, closed = self._pending_since, {}, 0
        for connection in connections:
            pending = _pending(connection)
            if pending is None:
                continue
            known = previous.get(connection)
            since_s = known[1] if known is not None and known[0] == pending else now_s
            if now_s - since_s > self._limits_s[pending[0]]:
                connection.transport.abort()
                closed += 1
            else:
                self._pending_since[connection] = pending, since_s
        return closed

    async def run(self, connections: set[Any]) -> None:
        """Check the connections every CHECK_INTERVAL_S seconds, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.close_expired(list(connections), loop.time())


def _pending(connection: HttpToolsProtocol) -> _Pending | None:
    """Return the action that a connection awaits from its client, None for none or for one with its own timeout."""
    cycle = connection.cycle
    if connection.flow is not None and connection.flow.write_paused:
        return _RESPONSE_WRITE, id(cycle)
    is_between_requests = cycle is None or cycle.response_complete
    return (_REQUEST_HEADER, id(cycle)) if is_between_requests and connection.timeout_keep_alive_task is None else None

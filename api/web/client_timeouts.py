"""How long a client may leave a connection between two states: a head that does not come, an answer that nobody takes.

Bodies have a limit of their own (api/web/request_body.py), and kept connections between two requests that of uvicorn.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CHECK_INTERVAL_S = 1.0
_Pending = tuple[str, int]  # for what, and which request of the connection came before


class ClientTimeouts:
    """Breaks connections off that have been in one wait for too long. A walk over all of them each second costs a request nothing."""

    def __init__(self, request_header_s: float, response_write_s: float) -> None:
        """`head_s`: for a whole head of a request, `answer_s`: for the client to take an answer."""
        self._limits_s = {"head": request_header_s, "answer": response_write_s}
        self._pending_since: dict[HttpToolsProtocol, tuple[_Pending, float]] = {}

    def close_expired(self, connections: Iterable[Any], now_s: float) -> int:
        """Break off what has waited for too long at this time of a monotonic clock; returns how many."""
        before, self._pending_since, ended = self._pending_since, {}, 0
        for one in connections:
            wait = _pending(one)
            if wait is None:
                continue
            known = before.get(one)
            since_s = known[1] if known is not None and known[0] == wait else now_s
            if now_s - since_s > self._limits_s[wait[0]]:
                one.transport.abort()
                ended += 1
            else:
                self._pending_since[one] = wait, since_s
        return ended

    async def run(self, connections: set[Any]) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.close_expired(list(connections), loop.time())


def _pending(connection: HttpToolsProtocol) -> _Pending | None:
    """Return what a connection waits for its client to do; None: for nothing, or for something that has its own limit."""
    cycle = connection.cycle
    if connection.flow is not None and connection.flow.write_paused:
        return "answer", id(cycle)
    between = cycle is None or cycle.response_complete
    return ("head", id(cycle)) if between and connection.timeout_keep_alive_task is None else None

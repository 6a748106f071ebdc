"""How long a client may leave a connection between two states: a head that does not come, an answer that nobody takes.

Bodies have a limit of their own (api/web/request_body.py), and kept connections between two requests that of uvicorn.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOK_S = 1.0
_Wait = tuple[str, int]  # for what, and which request of the connection came before


class Patience:
    """Breaks connections off that have been in one wait for too long. A walk over all of them each second costs a request nothing."""

    def __init__(self, head_s: float, answer_s: float) -> None:
        """`head_s`: for a whole head of a request, `answer_s`: for the client to take an answer."""
        self._limits_s = {"head": head_s, "answer": answer_s}
        self._since: dict[HttpToolsProtocol, tuple[_Wait, float]] = {}

    def look(self, connections: Iterable[Any], now_s: float) -> int:
        """Break off what has waited for too long at this time of a monotonic clock; returns how many."""
        before, self._since, ended = self._since, {}, 0
        for one in connections:
            wait = _wait(one)
            if wait is None:
                continue
            known = before.get(one)
            since_s = known[1] if known is not None and known[0] == wait else now_s
            if now_s - since_s > self._limits_s[wait[0]]:
                one.transport.abort()
                ended += 1
            else:
                self._since[one] = wait, since_s
        return ended

    async def watch(self, connections: set[Any]) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            self.look(list(connections), loop.time())


def _wait(connection: HttpToolsProtocol) -> _Wait | None:
    """Return what a connection waits for its client to do; None: for nothing, or for something that has its own limit."""
    cycle = connection.cycle
    if connection.flow is not None and connection.flow.write_paused:
        return "answer", id(cycle)
    between = cycle is None or cycle.response_complete
    return ("head", id(cycle)) if between and connection.timeout_keep_alive_task is None else None

"""Lanes: shares of the API's connections, so that requests of one kind never take the connections of all others."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from common.domain.errors import TooManyReads

ClientLeft = Callable[[], Awaitable[object]]  #: returns when the client of a request has disconnected


class Lane(StrEnum):
    """The kind of a request, by what it needs from the database."""

    INTAKE = "intake"  #: submissions, cancels, manual retries
    BY_ID = "by_id"  #: reads and changes of what has an id: jobs, long polls, event streams, bulk actions
    READINESS = "readiness"  #: the readiness probe
    EXPENSIVE = "expensive"  #: reads of many rows: lists, previews, explanations, statistics, operations


class LaneState:
    """The connections that requests of one lane use, and the requests that wait for one."""

    __slots__ = ("in_use", "most", "refused", "reserved", "waiting")

    def __init__(self, reserved: int, most: int) -> None:
        self.reserved = reserved  #: connections that only this lane may take
        self.most = most  #: the most connections that it may take
        self.in_use = 0
        self.waiting: dict[asyncio.Future[None], int] = {}  #: the turn of each waiting request, and its arrival number
        self.refused = 0  #: requests that got no connection: their queue or their wait was too long


class ConnectionLanes:
    """Decides which request gets the next free connection of a pool.

    Three lanes have a connection of their own each. All lanes share the others in the order of arrival, but expensive
    reads never take more than half of the pool.
    """

    def __init__(self, connections: int, max_expensive_waiting: int, max_expensive_wait_s: float) -> None:
        """Divide a pool of at least four connections."""
        self._max_expensive_waiting = max_expensive_waiting
        self._max_expensive_wait_s = max_expensive_wait_s
        self.lanes = {lane: LaneState(1, connections) for lane in (Lane.INTAKE, Lane.BY_ID)}
        self.lanes[Lane.READINESS] = LaneState(1, 1)
        self.lanes[Lane.EXPENSIVE] = LaneState(0, connections // 2)
        self._shared = connections - sum(state.reserved for state in self.lanes.values())
        self._arrivals = itertools.count()

    async def enter(self, lane: Lane, client_left: ClientLeft | None = None) -> None:
        """Wait until the request may take a connection; then it must `leave` the lane.

        Raises TooManyReads for an expensive read if too many wait already, if it has waited too long, or if its client
        has left meanwhile. The caller limits the wait in the other lanes.
        """
        state = self.lanes[lane]
        if not state.waiting and self._has_connection(state):
            state.in_use += 1
            return
        self.check_queue(lane)
        turn = asyncio.get_running_loop().create_future()
        state.waiting[turn] = next(self._arrivals)
        try:
            if lane is not Lane.EXPENSIVE:
                await turn
            elif not await self._has_turn(turn, client_left):
                raise TooManyReads
        except BaseException:  # the wait was too long, or the request was cancelled
            if turn.done() and not turn.cancelled():  # its turn came at the same time
                self.leave(lane)
            else:
                state.waiting.pop(turn, None)
                state.refused += 1
            raise

    def check_queue(self, lane: Lane) -> None:
        """Raise TooManyReads for an expensive read if too many wait already."""
        state = self.lanes[lane]
        if lane is Lane.EXPENSIVE and len(state.waiting) >= self._max_expensive_waiting:
            state.refused += 1
            raise TooManyReads

    async def _has_turn(self, turn: "asyncio.Future[None]", client_left: ClientLeft | None) -> bool:
        """Wait for the turn of an expensive read. Return False if the wait was too long or the client has left."""
        left = None if client_left is None else asyncio.ensure_future(client_left())
        waits_for: set[asyncio.Future[Any]] = {turn} if left is None else {turn, left}
        try:
            await asyncio.wait(
                waits_for,
                timeout=self._max_expensive_wait_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            if left is not None:
                left.cancel()
        return turn.done()

    def leave(self, lane: Lane) -> None:
        """Return the connection of a request, and give it to the next one."""
        self.lanes[lane].in_use -= 1
        while first := min(
            (state for state in self.lanes.values() if state.waiting and self._has_connection(state)),
            key=lambda state: next(iter(state.waiting.values())),
            default=None,
        ):
            turn = next(iter(first.waiting))
            del first.waiting[turn]
            if not turn.cancelled():  # a cancelled request has not run since
                first.in_use += 1
                turn.set_result(None)

    def _has_connection(self, state: LaneState) -> bool:
        """Return True if a connection is free that a lane may take."""
        if state.in_use < state.reserved:
            return True
        return state.in_use < state.most and self._shared > sum(
            max(0, other.in_use - other.reserved) for other in self.lanes.values()
        )

"""Lanes of the connection pool: which request gets the next free connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from common.domain.errors import TooManyReads
from common.store.connection.lanes import ConnectionLanes, Lane

OTHERS = (Lane.INTAKE, Lane.BY_ID, Lane.READINESS)


class Requests:
    """Requests in the lanes of a pool of five connections, in their order."""

    def __init__(self, **limits: float) -> None:
        self.lanes = ConnectionLanes(5, int(limits.get("waiting", 100)), limits.get("wait_s", 60.0))
        self.tasks: list[asyncio.Task[None]] = []

    async def enter(self, *lanes: Lane, client_left: Callable[[], Awaitable[None]] | None = None) -> list[bool]:
        """Start a request in each of these lanes. Return, for each, if it got a connection at once."""
        new = [asyncio.create_task(self.lanes.enter(lane, client_left)) for lane in lanes]
        self.tasks += new
        await settled()
        return [task.done() and task.exception() is None for task in new]

    async def leave(self, lane: Lane) -> None:
        """End a request of a lane."""
        self.lanes.leave(lane)
        await settled()

    def in_use(self) -> dict[Lane, int]:
        return {lane: state.in_use for lane, state in self.lanes.lanes.items() if state.in_use}

    def waiting(self) -> int:
        return sum(len(state.waiting) for state in self.lanes.lanes.values())


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("connections", [4, 5, 6, 10, 31])
def test_expensive_reads_take_at_most_half_of_the_pool_and_leave_a_connection_to_each_other_lane(
    connections: int,
) -> None:
    async def work() -> None:
        requests = Requests()
        requests.lanes = ConnectionLanes(connections, 100, 60.0)
        await requests.enter(*[Lane.EXPENSIVE] * 50)
        assert 1 <= requests.in_use()[Lane.EXPENSIVE] <= connections // 2
        assert await requests.enter(*OTHERS) == [True] * 3

    asyncio.run(work())


@pytest.mark.parametrize("greedy", [Lane.INTAKE, Lane.BY_ID, Lane.READINESS])
def test_no_lane_takes_the_connection_of_another(greedy: Lane) -> None:
    async def work() -> None:
        requests = Requests()
        await requests.enter(*[greedy] * 20)
        assert requests.in_use()[greedy] == (1 if greedy is Lane.READINESS else 3)
        assert await requests.enter(*(lane for lane in OTHERS if lane is not greedy)) == [True] * 2
        assert sum(requests.in_use().values()) <= 5

    asyncio.run(work())


def test_shared_connections_are_given_in_the_order_of_arrival() -> None:
    async def work() -> None:
        requests = Requests()
        await requests.enter(*[Lane.INTAKE] * 3)  # its own connection and both shared ones
        assert await requests.enter(Lane.EXPENSIVE, Lane.INTAKE, Lane.BY_ID, Lane.BY_ID) == [False, False, True, False]
        await requests.leave(Lane.INTAKE)
        assert requests.in_use() == {Lane.INTAKE: 2, Lane.BY_ID: 1, Lane.EXPENSIVE: 1}
        await requests.leave(Lane.INTAKE)
        assert requests.in_use() == {Lane.INTAKE: 2, Lane.BY_ID: 1, Lane.EXPENSIVE: 1}
        await requests.leave(Lane.EXPENSIVE)
        assert requests.in_use() == {Lane.INTAKE: 2, Lane.BY_ID: 2}
        assert requests.waiting() == 0

    asyncio.run(work())


def test_an_expensive_read_is_refused_at_once_when_too_many_wait() -> None:
    async def work() -> None:
        requests = Requests(waiting=3)
        await requests.enter(*[Lane.EXPENSIVE] * 5)
        with pytest.raises(TooManyReads):
            await requests.lanes.enter(Lane.EXPENSIVE)
        assert requests.lanes.lanes[Lane.EXPENSIVE].refused == 1
        await requests.leave(Lane.EXPENSIVE)
        assert await requests.enter(Lane.EXPENSIVE) == [False]
        assert requests.waiting() == 3

    asyncio.run(work())


def test_an_expensive_read_that_has_waited_too_long_is_refused_and_leaves_the_queue() -> None:
    async def work() -> None:
        requests = Requests(wait_s=0.01)
        await requests.enter(*[Lane.EXPENSIVE] * 2)
        with pytest.raises(TooManyReads):
            await requests.lanes.enter(Lane.EXPENSIVE)
        assert requests.waiting() == 0
        assert requests.lanes.lanes[Lane.EXPENSIVE].refused == 1

    asyncio.run(work())


def test_a_client_that_has_left_frees_its_place_in_the_queue() -> None:
    async def work() -> None:
        requests, left = Requests(), asyncio.Event()

        async def client_left() -> None:
            await left.wait()

        await requests.enter(*[Lane.EXPENSIVE] * 2)
        await requests.enter(Lane.EXPENSIVE, client_left=client_left)
        assert requests.waiting() == 1
        left.set()
        with pytest.raises(TooManyReads):
            await requests.tasks[-1]
        assert requests.waiting() == 0
        await requests.leave(Lane.EXPENSIVE)
        assert requests.in_use() == {Lane.EXPENSIVE: 1}

    asyncio.run(work())


@pytest.mark.parametrize("lane", [Lane.INTAKE, Lane.EXPENSIVE])
@pytest.mark.parametrize("at", ["before its turn", "just before its turn", "at its turn"])
def test_a_cancelled_request_keeps_no_connection(lane: Lane, at: str) -> None:
    async def work() -> None:
        requests = Requests()
        await requests.enter(*[lane] * (2 if lane is Lane.EXPENSIVE else 3))
        before = requests.in_use()
        await requests.enter(lane, lane)
        if at == "at its turn":
            requests.lanes.leave(lane)  # the first waiting request has its turn, and has not run since
        requests.tasks[-2].cancel()
        if at == "just before its turn":
            requests.lanes.leave(lane)  # the cancelled request has not run since
        await settled()
        if at == "before its turn":
            await requests.leave(lane)
        assert requests.in_use() == before  # of the second waiting request
        assert requests.tasks[-2].cancelled()
        assert requests.tasks[-1].done()
        assert requests.waiting() == 0

    asyncio.run(work())

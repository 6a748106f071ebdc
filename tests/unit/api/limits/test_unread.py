"""Responses that clients have not read: beyond the limit the slowest client is disconnected."""

import asyncio
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from api.limits.refusals import Refusals
from api.limits.unread import UnreadResponses


class _Connection:
    def __init__(self, size: int) -> None:
        self.is_aborted = False
        self.transport: Any = SimpleNamespace(get_write_buffer_size=lambda: size, abort=self._abort)

    def _abort(self) -> None:
        self.is_aborted = True


def test_the_longest_waits_end_until_the_rest_is_within_the_limit() -> None:
    async def work() -> None:
        registry = CollectorRegistry()
        unread = UnreadResponses(100, Refusals(registry))
        connections = [_Connection(size) for size in (40, 30, 30, 60)]
        for connection in connections[:3]:
            unread.add(connection, connection.transport, "a")
        assert (unread.bytes, [connection.is_aborted for connection in connections]) == (100, [False] * 4)
        unread.add(connections[3], connections[3].transport, "b")
        assert [connection.is_aborted for connection in connections] == [True, True, False, False]
        assert unread.bytes == 90
        assert registry.get_sample_value("jobproc_refusals_total", {"reason": "unread_bytes"}) == 2
        for connection in connections:
            unread.remove(connection)
        assert unread.bytes == 0

    asyncio.run(work())


def test_a_single_response_above_the_limit_is_sent() -> None:
    async def work() -> None:
        unread = UnreadResponses(100, Refusals(CollectorRegistry()))
        first, second = _Connection(1_000), _Connection(10)
        unread.add(first, first.transport, "")
        assert not first.is_aborted
        unread.add(second, second.transport, "")
        assert (first.is_aborted, second.is_aborted, unread.bytes) == (True, False, 10)

    asyncio.run(work())

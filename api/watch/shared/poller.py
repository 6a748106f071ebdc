"""A task that polls as long as clients wait, and a client's wait for an event."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request

from api.auth.expensive_read import until_disconnected
from common.telemetry import logs


class Poller:
    """Polls at an interval as long as something is to be polled."""

    def __init__(self, interval_s: float, poll: Callable[[], Awaitable[bool]]) -> None:
        """`interval_s`: seconds between two polls. `poll` returns False if there was nothing to poll."""
        self._interval_s = interval_s
        self._poll = poll
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Poll from now on, unless it polls already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        logs.request_id.set(b"")  # one request starts the task, but it serves all
        try:
            while await self._poll():  # noqa: ASYNC110 - an interval, no wait for an event
                await asyncio.sleep(self._interval_s)
        finally:
            self._task = None

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def first_of(event: asyncio.Event, request: Request) -> bool:
    """Wait for an event. Return False if the client disconnects first."""
    left, woken = asyncio.ensure_future(until_disconnected(request)), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({left, woken}, return_when=asyncio.FIRST_COMPLETED)
        return woken.done()
    finally:
        left.cancel()
        woken.cancel()

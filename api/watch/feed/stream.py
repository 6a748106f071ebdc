"""Clients that wait for changes: long polls of the feed, and streams of server-sent events."""

import asyncio
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.types import Send

from api.watch.feed.reader import FeedFilter, FeedReader
from api.watch.job_stream import (
    MEDIA_TYPE,
    EventsResponse,
    last_event_id,
    last_event_id_parameter,
    send_text,
)
from api.watch.shared.poller import first_of
from api.watch.watchers import Watchers
from common.domain.errors import FeedExpired, StoreUnavailable
from common.settings import Settings
from common.store.feed.reads import FeedChange

_ID = re.compile(r"\d{1,18}")
STREAM_CHANGES = 200  # in one message
MAX_READS = 10  # of a request whose filter matches nothing, of READ_CHANGES changes each
_EXAMPLE = """retry: 1000

event: change
id: 17
data: {"number":17,"job_id":"019a9e61-0000-7000-8000-000000000000","queue":"default","operation":"square_sum",\
"tags":[],"status":"SUCCESS","run":0,"attempt":1,"revision":2,"due_at":null,"parked":false,\
"at":"2026-01-12T09:52:37.151042Z"}

id: 20

"""
CONTENT: dict[str, Any] = {MEDIA_TYPE: {"examples": {"follow": {"value": _EXAMPLE}}}}
LAST_EVENT_ID_PARAMETER = last_event_id_parameter(
    _ID.pattern, "17", "With `follow`: the id of the last event received; the stream resumes after it."
)


def resumed_after(request: Request) -> int | None:
    """Return the number in Last-Event-ID; None: the request has none. Raises ProblemError if it is malformed."""
    event_id = last_event_id(request, _ID)
    return None if event_id is None else int(event_id)


@dataclass(slots=True)
class FeedClient:
    """A client at a place of a tenant's feed."""

    reader: FeedReader
    tenant: int
    filter: FeedFilter
    after: int | None  #: None: before the oldest change

    async def next(self, limit: int) -> list[FeedChange]:
        """Return changes that match, at most `limit`, and move behind them. Raises FeedExpired or StoreUnavailable.

        None of them: no other change matches, or none of the next MAX_READS times READ_CHANGES.
        """
        for _ in range(MAX_READS):
            found = await self.reader.changes(self.tenant, self.after)
            matching = [change for change in found.changes if self.filter.matches(change)]
            if len(matching) > limit:
                matching = matching[:limit]
                self.after = matching[-1].number
            else:
                self.after = found.last
            if matching or self.after >= found.newest:
                return matching
        return []

    async def is_behind(self) -> bool:
        """Return True if the feed has changes that were not looked at."""
        return self.after is None or self.after < (await self.reader.changes(self.tenant, self.after)).newest


async def wait_for_changes(request: Request, client: FeedClient, limit: int, wait_s: float) -> list[FeedChange]:
    """Return the next changes that match as soon as there are any; none when the time is up, or the process drains.

    The caller holds a slot. Raises FeedExpired or StoreUnavailable.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_s
    with client.reader.wait(client.tenant) as event:
        while True:
            event.clear()
            changes = await client.next(limit)
            if changes or client.reader.is_draining or loop.time() >= end_s:
                return changes
            if await client.is_behind():
                continue
            try:
                async with asyncio.timeout_at(end_s):
                    if not await first_of(event, request):
                        return []
            except TimeoutError:
                return []


class FeedStream(EventsResponse[asyncio.Event, list[FeedChange]]):
    """Streams changes until the client leaves, the time is up or the process drains."""

    def __init__(self, request: Request, client: FeedClient, watchers: Watchers, settings: Settings) -> None:
        super().__init__(request, watchers, settings)
        self._client = client

    def _watch(self) -> AbstractContextManager[asyncio.Event]:
        return self._client.reader.wait(self._client.tenant)

    async def _first(self, _event: asyncio.Event, /) -> list[FeedChange]:
        """Return the next changes. Raises FeedExpired or StoreUnavailable."""
        return await self._client.next(STREAM_CHANGES)

    async def _send_events(self, event: asyncio.Event, changes: list[FeedChange], send: Send, /) -> bool:
        """Send changes, and where the client is while none match. Return False if the client has disconnected."""
        loop, client = asyncio.get_running_loop(), self._client
        heartbeat_s, end_s = self._settings.event_heartbeat_seconds, loop.time()
        end_s += self._settings.event_stream_max_seconds
        while True:
            if changes:
                await send_text(send, "".join(_event(change) for change in changes))
            if client.reader.is_draining or loop.time() >= end_s:
                return True
            try:
                if not changes and not await client.is_behind():
                    pause_s = min(heartbeat_s, max(0.0, end_s - loop.time()))
                    try:
                        async with asyncio.timeout(pause_s):
                            if not await first_of(event, self._request):
                                return False
                    except TimeoutError:
                        # An id alone is no event, but the client resumes behind it.
                        await send_text(send, f"id: {client.after}\n\n")
                event.clear()
                changes = await client.next(STREAM_CHANGES)
            except (FeedExpired, StoreUnavailable):  # the next request of the client is answered with the reason
                return True


def _event(change: FeedChange) -> str:
    return f"event: change\nid: {change.number}\ndata: {change.text.decode()}\n\n"


def is_stream_wanted(request: Request, *, follow: bool) -> bool:
    """Return True if a client asks for server-sent events."""
    return follow or request.headers.get("accept", "").lstrip().startswith(MEDIA_TYPE)

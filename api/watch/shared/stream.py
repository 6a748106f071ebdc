"""A stream whose events are read once for all of its clients. It has no end: a client resumes it."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import orjson
from fastapi import Request
from starlette.types import Send

from api.watch.job_stream import HEARTBEAT, EventsResponse, send_text
from api.watch.watcher import WaitingClient
from api.watch.watchers import Watchers
from common.settings import Settings

MAX_MISSED_POLLS = 3  # consecutive failed polls after which a stream ends: its client then gets the reason as a problem


class SharedClient(WaitingClient):
    """A client of such a stream."""

    @property
    @abstractmethod
    def is_lost(self) -> bool:
        """True if what the client watches can no longer be read."""

    @abstractmethod
    async def begin(self) -> str:
        """Return the events with which the stream begins. Raises what the read raises."""

    @abstractmethod
    def next_events(self) -> str:
        """Return the events that the client has not had; empty: there are none."""


class SharedStream(EventsResponse[SharedClient, str]):
    """Streams the events of a client, after `hello`: the version and the time of the server."""

    def __init__(
        self,
        request: Request,
        watch: Callable[[], AbstractContextManager[SharedClient]],
        watchers: Watchers,
        settings: Settings,
    ) -> None:
        """`watch`: makes the client of this stream, and keeps what it watches up to date during the block."""
        super().__init__(request, watchers, settings)
        self._watch_shared = watch

    def _watch(self) -> AbstractContextManager[SharedClient]:
        return self._watch_shared()

    async def _first(self, client: SharedClient, /) -> str:
        return hello(self._request.app.version) + await client.begin()

    async def _send_events(self, client: SharedClient, text: str, send: Send, /) -> bool:
        loop, heartbeat_s = asyncio.get_running_loop(), self._settings.event_heartbeat_seconds
        end_s = loop.time() + self._settings.event_stream_max_seconds
        quiet_since_s = loop.time()
        while True:
            if text:
                await send_text(send, text)
                quiet_since_s = loop.time()
            elif loop.time() - quiet_since_s >= heartbeat_s:
                await send_text(send, HEARTBEAT)
                quiet_since_s = loop.time()
            if self._watchers.is_draining or client.is_lost or loop.time() >= end_s:
                return True
            pause_s = min(quiet_since_s + heartbeat_s, end_s) - loop.time()
            if not await client.pause(max(0.0, pause_s)):
                return False
            client.woken = False
            text = client.next_events()


def hello(version: str) -> str:
    """Return the first event of a stream: with the time a client measures how far its clock is off."""
    return event("hello", orjson.dumps({"version": version, "time": datetime.now(UTC)}).decode())


def event(name: str, data: str, event_id: str | None = None) -> str:
    """Return an event. `data`: JSON in one line. `event_id` None: the id of the event before stays."""
    id_line = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{id_line}data: {data}\n\n"

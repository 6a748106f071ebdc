"""The progress of a batch as a stream of server-sent events.

A process reads one batch at a time for all of its streams, so they take one connection to the database at the most.
"""

import asyncio
import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.types import Send

from api.auth.expensive_read import until_disconnected
from api.watch.batch_reader import BatchReader
from api.watch.job_stream import (
    HEARTBEAT,
    LAST_EVENT_ID,
    MEDIA_TYPE,
    EventsResponse,
    last_event_id,
    last_event_id_parameter,
    send_text,
)
from api.watch.watchers import Watchers
from common.domain.batches import progress, state_of
from common.settings import Settings
from common.store.batches import reads
from common.store.batches.reads import Record

_ID = re.compile(r"\d{1,10}(\.\d{1,10}){4}")
_EXAMPLE = """retry: 1000

event: progress
id: 2.10000.1200.10.0
data: {"status":"CLOSED","jobs":10000,"unfinished":1200,"failed":10,"cancelled":0,"progress":0.88}

event: progress
id: 3.10000.0.12.0
data: {"status":"ENDED","jobs":10000,"unfinished":0,"failed":12,"cancelled":0,"progress":1.0}

"""
#: The successful responses in the OpenAPI document.
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of `progress` events, at most one a second. The last one has the status ENDED. Lines "
        "that begin with a colon are heartbeats.",
        "content": {MEDIA_TYPE: {"examples": {"running batch": {"value": _EXAMPLE}}}},
    },
    204: {"description": f"The batch has ended and {LAST_EVENT_ID} names its last event: no more events will follow."},
}
LAST_EVENT_ID_PARAMETER = last_event_id_parameter(
    _ID.pattern,
    "2.10000.1200.10.0",
    "The id of the last event received; the same event is not sent again. Browsers send it on a reconnect.",
)


class BatchStream(EventsResponse[None, Record]):
    """Streams the progress of a batch until it has ended, the client leaves, the time is up or the process drains."""

    def __init__(
        self, request: Request, batch: tuple[int, UUID], reader: BatchReader, watchers: Watchers, settings: Settings
    ) -> None:
        """`batch`: the tenant of the client, and the id."""
        super().__init__(request, watchers, settings)
        self._batch = batch
        self._reader = reader
        self._last_id = last_event_id(request, _ID)

    def _watch(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def _first(self, _watched: None, /) -> Record | None:
        """Return the batch. Raises BatchNotFound or StoreUnavailable."""
        row = await self._reader.read_in_turn(*self._batch)
        return None if reads.has_ended(row) and _event_id(row) == self._last_id else row

    async def _send_events(self, _watched: None, row: Record, send: Send, /) -> bool:
        loop, heartbeat_s = asyncio.get_running_loop(), self._settings.event_heartbeat_seconds
        end_s, quiet_since_s = loop.time() + self._settings.event_stream_max_seconds, loop.time()
        while True:
            if (event_id := _event_id(row)) != self._last_id:
                self._last_id, quiet_since_s = event_id, loop.time()
                await send_text(send, f"event: progress\nid: {event_id}\ndata: {_data(row)}\n\n")
            elif loop.time() - quiet_since_s >= heartbeat_s:
                quiet_since_s = loop.time()
                await send_text(send, HEARTBEAT)
            if reads.has_ended(row) or self._watchers.is_draining or loop.time() >= end_s:
                return True
            if not await self._pause():
                return False
            row = await self._reader.read_in_turn(*self._batch)

    async def _pause(self) -> bool:
        """Sleep until the next poll. Return False if the client has disconnected."""
        try:
            async with asyncio.timeout(self._settings.wait_poll_seconds):
                await until_disconnected(self._request)
        except TimeoutError:
            return True
        return False


def _data(row: Record) -> str:
    data = {name: row[name] for name in ("jobs", "unfinished", "failed", "cancelled")}
    share = round(progress(row["jobs"], row["unfinished"]), 4)
    return orjson.dumps({"status": state_of(row["closed_at"], row["ended_at"])} | data | {"progress": share}).decode()


def _event_id(row: Record) -> str:
    return ".".join(str(row[name]) for name in ("rev", "jobs", "unfinished", "failed", "cancelled"))

"""The events of a job as a stream of server-sent events.

Each event has the newest state of the job's row; states between two events are skipped.
"""

import asyncio
import re
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.types import Send

from api.watch.job_stream import (
    HEARTBEAT,
    LAST_EVENT_ID,
    MEDIA_TYPE,
    JobStream,
    last_event_id,
    last_event_id_parameter,
    send_text,
)
from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from common.settings import Settings
from common.store.jobs.reads import JobSnapshot

_ID = re.compile(r"\d{1,5}\.\d{1,10}")
_EXAMPLE = """retry: 1000

event: status
id: 0.1
data: {"status":"IN_PROGRESS","attempt":1}

event: progress
id: 0.2
data: {"status":"IN_PROGRESS","attempt":1,"progress":{"fraction":0.4,"text":"row 4,000 of 10,000"}}

event: status
id: 0.3
data: {"status":"SUCCESS","attempt":1}

"""
#: The successful responses in the OpenAPI document.
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of `status` and `progress` events. It ends with the `status` in which the job ended. "
        "Lines that begin with a colon are heartbeats.",
        "content": {MEDIA_TYPE: {"examples": {"running job": {"value": _EXAMPLE}}}},
    },
    204: {"description": f"The job has ended and {LAST_EVENT_ID} names its last event: no more events will follow."},
}
LAST_EVENT_ID_PARAMETER = last_event_id_parameter(
    _ID.pattern,
    "0.2",
    "The id of the last event received; the stream resumes after it. Browsers send it on a reconnect.",
)


class EventStream(JobStream[JobSnapshot]):
    """Streams the events of a job."""

    def __init__(self, request: Request, job_id: UUID, watchers: Watchers, settings: Settings) -> None:
        super().__init__(request, job_id, watchers, settings)
        self._last_id = last_event_id(request, _ID)
        self._last_shown: tuple[str, int] | None = None  # status and attempt of the last event

    async def _first(self, watcher: Watcher, /) -> JobSnapshot | None:
        """Return the snapshot of the first poll. Raises JobNotFound or StoreUnavailable."""
        snapshot = await self._watchers.first_snapshot(watcher, self._job_id)
        if _event_id(snapshot) == self._last_id:
            if snapshot.is_finished:
                return None
            self._last_shown = snapshot.status, snapshot.attempt
        return snapshot

    async def _send_events(self, watcher: Watcher, snapshot: JobSnapshot, send: Send, /) -> bool:
        loop, heartbeat_s = asyncio.get_running_loop(), self._settings.event_heartbeat_seconds
        end_s = loop.time() + self._settings.event_stream_max_seconds
        while True:
            if text := self._event(snapshot):
                await send_text(send, text)
            if snapshot.is_finished or self._watchers.is_draining or watcher.job.is_missing or loop.time() >= end_s:
                return True
            if not await watcher.pause(min(heartbeat_s, max(0.0, end_s - loop.time()))):
                return False
            if not watcher.woken:
                await send_text(send, HEARTBEAT)
            watcher.woken = False
            snapshot = watcher.job.snapshot or snapshot

    def _event(self, snapshot: JobSnapshot) -> str:
        """Return the event for a snapshot, an empty text if the client already has it."""
        shown = snapshot.status, snapshot.attempt
        if shown == self._last_shown and _event_id(snapshot) == self._last_id:
            return ""
        name = "progress" if shown == self._last_shown else "status"
        self._last_id, self._last_shown = _event_id(snapshot), shown
        data: dict[str, object] = {"status": snapshot.status, "attempt": snapshot.attempt}
        if snapshot.progress is not None or snapshot.progress_text is not None:
            data["progress"] = {"fraction": snapshot.progress, "text": snapshot.progress_text}
        return f"event: {name}\nid: {_event_id(snapshot)}\ndata: {orjson.dumps(data).decode()}\n\n"


def _event_id(snapshot: JobSnapshot) -> str:
    return f"{snapshot.run}.{snapshot.rev}"

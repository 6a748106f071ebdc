"""The events of a job as a stream of server-sent events.

Each event has the newest state of the job's row; states between two events are skipped.
"""

import asyncio
import re
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.settings import Settings
from common.store.jobs.reads import JobSnapshot
from common.telemetry.metrics import EVENTS

RETRY_MS = 1_000  # delay before a disconnected client reconnects
LAST_EVENT_ID = "Last-Event-ID"
MEDIA_TYPE = "text/event-stream"
_ID = re.compile(r"\d{1,5}\.\d{1,10}")
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # proxies must not buffer events
}
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
LAST_EVENT_ID_PARAMETER = {
    "name": LAST_EVENT_ID,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^({_ID.pattern})?$", "examples": ["0.2"]},
    "description": "The id of the last event received; the stream resumes after it. Browsers send it on a reconnect.",
}


def last_event_id(request: Request) -> str | None:
    """Return the Last-Event-ID of a request, None if it has none. Raises ProblemError if it is malformed."""
    event_id = request.headers.get(LAST_EVENT_ID)
    if event_id and not _ID.fullmatch(event_id):
        raise field_problem(INVALID_PARAMETER, [(LAST_EVENT_ID, "the id of an event is expected")], 1)
    return event_id or None


class EventStream(Response):
    """Streams the events of a job until the job has ended, the client leaves, the time is up or the process drains."""

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, job_id: UUID, watchers: Watchers, settings: Settings) -> None:
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._job_id = job_id
        self._watchers = watchers
        self._settings = settings
        self._last_id = last_event_id(request)
        self._last_shown: tuple[str, int] | None = None  # status and attempt of the last event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises TooManyWaitingClients, JobNotFound or StoreUnavailable before anything is sent."""
        with (
            self._watchers.slot(self._request, EVENTS),
            self._watchers.count_waiting(scope, EVENTS),
            self._watchers.watch(self._request, self._job_id, on_every_change=True) as watcher,
        ):
            snapshot = await self._watchers.first_snapshot(watcher, self._job_id)
            if snapshot.is_finished and _event_id(snapshot) == self._last_id:
                await Response(status_code=204)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send_text(send, f"retry: {RETRY_MS}\n\n")
            if _event_id(snapshot) == self._last_id:
                self._last_shown = snapshot.status, snapshot.attempt
            if await self._send_events(watcher, snapshot, send):
                await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, watcher: Watcher, snapshot: JobSnapshot, send: Send) -> bool:
        """Send events and heartbeats. Return False if the client has disconnected."""
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
                await send_text(send, ":\n\n")
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


async def send_text(send: Send, text: str) -> None:
    """Send a part of a stream."""
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

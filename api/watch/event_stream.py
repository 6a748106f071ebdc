"""What happens to a job, as a stream of server-sent events. Each event is the newest state of the row: what came between two of them is left out."""

import asyncio
import re
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from api.watch.watchers import Watcher, Watchers
from api.web.problems import INVALID_PARAMETER, field_problem
from common.settings import Settings
from common.store.jobs.reads import JobSnapshot
from common.telemetry.metrics import EVENTS

RETRY_MS = 1_000  # after which a client comes again that has lost its stream
LAST_EVENT_ID = "Last-Event-ID"
MEDIA_TYPE = "text/event-stream"
_ID = re.compile(r"\d{1,5}\.\d{1,10}")
_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}  # proxies pass each event on as it comes
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
#: How its successes stand in the OpenAPI document.
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `status` and `progress`; the last one is a `status` with which the job has ended. Lines that begin with a colon are heartbeats.",
        "content": {MEDIA_TYPE: {"examples": {"a job that runs": {"value": _EXAMPLE}}}},
    },
    204: {"description": f"The job has ended, and {LAST_EVENT_ID} says that this is known: there is nothing more to come."},
}
PARAMETER = {
    "name": LAST_EVENT_ID,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^({_ID.pattern})?$", "examples": ["0.2"]},
    "description": "The id of the last event that came; browsers send it by themselves. What it told is not told again.",
}


def last_event_id(request: Request) -> str | None:
    """Return the id of the last event that a client has, None for none. Raises ProblemError for what is no such id."""
    given = request.headers.get(LAST_EVENT_ID)
    if given and not _ID.fullmatch(given):
        raise field_problem(INVALID_PARAMETER, [(LAST_EVENT_ID, "the id of an event is expected")], 1)
    return given or None


class EventStream(Response):
    """Sends what happens to a job until it has ended, its client leaves, or the process ends."""

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, job_id: UUID, watchers: Watchers, settings: Settings) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._job_id = job_id
        self._watchers = watchers
        self._settings = settings
        self._last_id = last_event_id(request)
        self._shown: tuple[str, int] | None = None  # status and attempt of the last event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises, before anything is sent, TooManyWaiting, JobNotFound or StoreUnavailable."""
        waiting = self._watchers
        with waiting.slot(EVENTS), waiting.counted(scope, EVENTS), waiting.watch(self._request, self._job_id, on_every_change=True) as watcher:
            seen = await waiting.first_snapshot(watcher, self._job_id)
            if seen.is_finished and _event_id(seen) == self._last_id:
                await Response(status_code=204)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _send_text(send, f"retry: {RETRY_MS}\n\n")
            if _event_id(seen) == self._last_id:
                self._shown = seen.status, seen.attempt
            if await self._follow(watcher, seen, send):
                await send({"type": "http.response.body", "body": b""})

    async def _follow(self, watcher: Watcher, seen: JobSnapshot, send: Send) -> bool:
        """Send events. Returns False where the client has gone."""
        loop, beat_s = asyncio.get_running_loop(), self._settings.event_heartbeat_seconds
        end_s = loop.time() + self._settings.event_stream_seconds
        while True:
            if text := self._event(seen):
                await _send_text(send, text)
            if seen.is_finished or self._watchers.is_draining or watcher.job.is_missing or loop.time() >= end_s:
                return True
            if not await watcher.pause(min(beat_s, max(0.0, end_s - loop.time()))):
                return False
            if not watcher.woken:
                await _send_text(send, ":\n\n")
            watcher.woken = False
            seen = watcher.job.snapshot or seen

    def _event(self, seen: JobSnapshot) -> str:
        """Return what a look has shown as an event; nothing where it is known."""
        shown = seen.status, seen.attempt
        if shown == self._shown and _event_id(seen) == self._last_id:
            return ""
        name = "progress" if shown == self._shown else "status"
        self._last_id, self._shown = _event_id(seen), shown
        data: dict[str, object] = {"status": seen.status, "attempt": seen.attempt}
        if seen.progress is not None or seen.progress_text is not None:
            data["progress"] = {"fraction": seen.progress, "text": seen.progress_text}
        return f"event: {name}\nid: {_event_id(seen)}\ndata: {orjson.dumps(data).decode()}\n\n"


def _event_id(seen: JobSnapshot) -> str:
    return f"{seen.epoch}.{seen.rev}"


async def _send_text(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

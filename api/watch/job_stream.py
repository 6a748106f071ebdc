"""Streams of server-sent events: the response and the parts that all have, and those about a job."""

import re
from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.settings import Settings

T = TypeVar("T")
RETRY_MS = 1_000  # delay before a disconnected client reconnects
LAST_EVENT_ID = "Last-Event-ID"
MEDIA_TYPE = "text/event-stream"
HEARTBEAT = ":\n\n"
HEADERS = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # proxies must not buffer events
}


def last_event_id_parameter(pattern: str, example: str, description: str) -> dict[str, Any]:
    """Return the header of a resumed stream for the OpenAPI document. `pattern`: of the ids of its events."""
    return {
        "name": LAST_EVENT_ID,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": f"^({pattern})?$", "examples": [example]},
        "description": description,
    }


def last_event_id(request: Request, form: re.Pattern[str]) -> str | None:
    """Return the Last-Event-ID of a request, None if it has none. Raises ProblemError if it is not of the form."""
    event_id = request.headers.get(LAST_EVENT_ID)
    if event_id and not form.fullmatch(event_id):
        raise field_problem(INVALID_PARAMETER, [(LAST_EVENT_ID, "the id of an event is expected")], 1)
    return event_id or None


class EventsResponse(Response):
    """A response that is a stream of server-sent events."""

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, watchers: Watchers, settings: Settings) -> None:
        """`watchers`: has the slots of waiting clients."""
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._watchers = watchers
        self._settings = settings

    async def _begin(self, send: Send) -> None:
        """Send the head, and how soon a client is to reconnect."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send_text(send, f"retry: {RETRY_MS}\n\n")


class JobStream(EventsResponse, Generic[T]):
    """Streams events until the job has ended, the client leaves, the time is up or the process drains.

    A T is what it sends events about: a snapshot of the job, for example.
    """

    waits_for: ClassVar[str]  #: the kind of slot that a client of it occupies

    def __init__(self, request: Request, job_id: UUID, watchers: Watchers, settings: Settings) -> None:
        super().__init__(request, watchers, settings)
        self._job_id = job_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. Raises TooManyWaitingClients, or what `_first` raises, before anything is sent."""
        with (
            self._watchers.slot(self._request, self.waits_for),
            self._watchers.count_waiting(scope, self.waits_for),
            self._watchers.watch(self._request, self._job_id, on_every_change=True) as watcher,
        ):
            first = await self._first(watcher)
            if first is None:
                await Response(status_code=204)(scope, receive, send)
                return
            await self._begin(send)
            if await self._send_events(watcher, first, send):
                await send({"type": "http.response.body", "body": b""})

    @abstractmethod
    async def _first(self, watcher: Watcher, /) -> T | None:
        """Return what the stream begins with. None: the job has ended, and the client has had the last event."""

    @abstractmethod
    async def _send_events(self, watcher: Watcher, first: T, send: Send, /) -> bool:
        """Send events and heartbeats. Return False if the client has disconnected."""


async def send_text(send: Send, text: str) -> None:
    """Send a part of a stream."""
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

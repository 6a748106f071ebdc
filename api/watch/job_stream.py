"""Streams of server-sent events: the response and the parts that all have, and those about a job."""

import re
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.settings import Settings
from common.telemetry.metrics import EVENTS

T = TypeVar("T")
W = TypeVar("W")
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


class EventsResponse(Response, Generic[W, T]):
    """Streams server-sent events until there are no more, the client leaves, the time is up or the process drains.

    A W is what the client watches meanwhile, a T what the stream begins with.
    """

    media_type = MEDIA_TYPE
    waits_for: ClassVar[str] = EVENTS  #: the kind of slot that a client of it occupies

    def __init__(self, request: Request, watchers: Watchers, settings: Settings) -> None:
        """`watchers`: has the slots of waiting clients."""
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._watchers = watchers
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream.

        Raises TooManyWaitingClients, or what `_watch` and `_first` raise, before anything is sent.
        """
        with (
            self._watchers.slot(self._request, self.waits_for),
            self._watchers.count_waiting(scope, self.waits_for),
            self._watch() as watched,
        ):
            first = await self._first(watched)
            if first is None:
                await Response(status_code=204)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send_text(send, f"retry: {RETRY_MS}\n\n")
            if await self._send_events(watched, first, send):
                await send({"type": "http.response.body", "body": b""})

    @abstractmethod
    def _watch(self) -> AbstractContextManager[W]:
        """Watch what the events are about, during a block."""

    @abstractmethod
    async def _first(self, watched: W, /) -> T | None:
        """Return what the stream begins with. None: the client has had the last event, and no more will follow."""

    @abstractmethod
    async def _send_events(self, watched: W, first: T, send: Send, /) -> bool:
        """Send events and heartbeats. Return False if the client has disconnected."""


class JobStream(EventsResponse[Watcher, T]):
    """Streams events until the job has ended.

    A T is what it sends events about: a snapshot of the job, for example.
    """

    def __init__(self, request: Request, job_id: UUID, watchers: Watchers, settings: Settings) -> None:
        super().__init__(request, watchers, settings)
        self._job_id = job_id

    def _watch(self) -> AbstractContextManager[Watcher]:
        return self._watchers.watch(self._request, self._job_id, on_every_change=True)


async def send_text(send: Send, text: str) -> None:
    """Send a part of a stream."""
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

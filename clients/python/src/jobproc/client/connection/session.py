"""A session: turns calls into steps of HTTP, with credentials and retries. It does no I/O itself."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from jobproc.client.connection.configuration import Configuration
from jobproc.client.connection.credentials import Credentials, credentials_of
from jobproc.client.connection.event_stream import EventStream
from jobproc.client.connection.refusals import error_of
from jobproc.client.connection.request import Request, Response
from jobproc.client.connection.retries import RetryPolicy, Tries
from jobproc.client.connection.steps import Emit, Flow, Lost, Open, Pause, ReadLine, Send, Steps
from jobproc.client.errors import ConnectionFailed, UnexpectedResponse

T = TypeVar("T")
VERSION = "0.1.0"  # of the package
WAIT_MARGIN_S = 5.0  # a response of a wait may be this late
STREAM_SILENCE_S = 45.0  # the API writes a line each 15 s
UNAUTHENTICATED, NO_CONTENT, ERRORS = 401, 204, 300


class Session:
    """The facts that all calls of a client share."""

    def __init__(
        self,
        configuration: Configuration,
        policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.configuration = configuration
        self.clock = clock
        self._policy = policy or RetryPolicy()
        self._chance = chance
        self._credentials: Credentials = credentials_of(configuration, clock)

    def steps(self, call: Request[T] | Flow[T]) -> Steps[T]:
        """Return a call as its steps; its value is that of the request, or of the flow."""
        if isinstance(call, Request):
            return (yield from self._call(call))
        outcome: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = call.send(outcome) if failure is None else call.throw(failure)
            except StopIteration as end:
                return cast("T", end.value)
            outcome, failure = None, None
            try:
                outcome = (yield from self._call(step)) if isinstance(step, Request) else (yield step)
            except GeneratorExit:
                call.close()
                raise
            except Exception as error:  # noqa: BLE001 - the flow decides
                failure = error

    def events(self, request: Request[Any], read: Callable[[str, str], tuple[Any, bool]]) -> Steps[None]:
        """Return a stream of server-sent events, which goes on after interruptions behind its last event.

        `read` turns the name and the data of an event into an item, and True if no event follows it. The stream also
        ends with the response 204.
        """
        stream, tries = EventStream(), self._tries()
        while True:
            opened = yield from self._exchange(request, Open, stream.headers, tries)
            if opened.status == NO_CONTENT:
                return
            while isinstance(line := (yield ReadLine()), str):
                tries = self._tries()  # the stream is alive, though it may have no event for hours
                if event := stream.feed(line):
                    item, is_last = read(*event)
                    yield Emit(item)
                    if is_last:
                        return
            pause = tries.pause_after(request, line or Lost("the stream ended", was_sent=True))
            if pause is None:
                raise ConnectionFailed(f"{request.method} {self._url(request)}: {line or 'the stream ended'}")
            yield Pause(max(pause, stream.retry_s))

    def _call(self, request: Request[T]) -> Steps[T]:
        response = yield from self._exchange(request, None, {}, self._tries())
        try:
            return request.read(response)
        except (ValueError, LookupError, TypeError) as error:
            raise UnexpectedResponse(f"{request.method} {self._url(request)}: {error}") from error

    def _exchange(
        self, request: Request[Any], wrap: type[Open] | None, headers: dict[str, str], tries: Tries
    ) -> Steps[Response]:
        """Send a request until its response is one of success. Raises the error of the last try."""
        may_renew = True
        while True:
            token = yield from self._credentials.token(self._tries)
            send = self._send(request, token, headers)
            outcome: Response | Lost = yield (wrap(send) if wrap else send)
            if isinstance(outcome, Response):
                if outcome.status < ERRORS:
                    return outcome
                if outcome.status == UNAUTHENTICATED and may_renew and self._credentials.forget(token):
                    may_renew = False
                    continue
            pause = tries.pause_after(request, outcome)
            if pause is None:
                if isinstance(outcome, Response):
                    raise error_of(outcome)
                raise ConnectionFailed(f"{request.method} {send.url}: {outcome.reason}")
            yield Pause(pause)

    def _send(self, request: Request[Any], token: str, headers: dict[str, str]) -> Send:
        all_headers = {"User-Agent": f"jobproc-python/{VERSION}", **request.headers, **headers}
        if token:
            all_headers["Authorization"] = f"Bearer {token}"
        seconds = self.configuration.timeout_s
        if request.wait_s:
            seconds = request.wait_s + WAIT_MARGIN_S
        if headers:
            seconds = STREAM_SILENCE_S
        return Send(request.method, self._url(request), all_headers, request.body, seconds)

    def _url(self, request: Request[Any]) -> str:
        return f"{self.configuration.url}{request.target}"

    def _tries(self) -> Tries:
        return Tries(self._policy, self.clock, self._chance)

"""The protocol class of uvicorn, with limits on what a client may send, and with an orderly end.

uvicorn's own one bounds neither the head of a request nor the number of pipelined requests. It reads the body of a
request that offers an upgrade as the next request, and resets a connection whose client is still sending.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.protocol import refusals
from api.protocol.discard import Discard
from api.protocol.heads import END, end_of_heads, head_without_upgrade
from api.protocol.irregularities import Irregularities
from api.protocol.limits import ProtocolLimits
from api.protocol.read_flow import ReadFlow
from api.protocol.refusals import Refusal, RequestRefused
from api.protocol.unknown_length import UNKNOWN_LENGTH
from common.telemetry import refusal_reasons

SMALL_BYTES = 1_024  # a read of this size with a single end of a head needs no other check: nearly every request


class HttpConnection(HttpToolsProtocol):
    """A connection of a client.

    What arrives is parsed in pieces that are no larger than a head may be and contain no more heads than may be taken.
    So counting costs a few steps for a piece, and none for a header field.
    """

    flow: ReadFlow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        protocol_limits: ProtocolLimits,
        irregularities: Irregularities,
    ) -> None:
        """Take uvicorn's arguments, and the limits of the connection."""
        super().__init__(config, server_state, app_state, _loop)
        self._protocol_limits = protocol_limits
        self._irregularities = irregularities
        self.headers = []
        self._bytes_without_effect = 0  #: parsed since a head was complete or a part of a body arrived
        self._in_body = False  #: a request is waiting for the rest of its body
        self._offers_upgrade = False
        self._running: RequestResponseCycle | None = None  #: the request that is being answered, or was the last
        self._early: Any = None  #: the transport as seen by a request whose body has not arrived
        self._unparsed, self._unparsed_from = b"", 0  #: what was read after the last request that may be taken
        self._refusal: Refusal | None = None
        self._discard: Discard | None = None
        self._lingers = False  #: answered for the last time; what arrives is discarded until the client closes
        self._is_usual = True  #: False from the first time on that one of the four above has another value

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to read."""
        super().connection_made(transport)
        self.flow = ReadFlow(transport)
        self._early = SimpleNamespace(write=transport.write, is_closing=transport.is_closing, close=self._linger)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the requests that the client is gone."""
        super().connection_lost(exc)
        self._early, self._unparsed = None, b""
        if self._discard is not None:
            self._discard.end()
        if self._running is not None and not self._running.response_complete:  # uvicorn tells only the last one
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        if (
            self._is_usual
            and len(data) <= SMALL_BYTES
            and not self.pipeline
            and not self._bytes_without_effect
            and data.count(END) <= 1
        ):
            self._parse(data)
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        """Parse what has arrived, as far as the state of the connection allows."""
        if self._discard is not None:
            self._discard.count(len(data))
        if self._lingers:
            return
        if self._unparsed:
            data, self._unparsed = self._unparsed[self._unparsed_from :] + data, b""
        self._parse_from(data, 0)

    def _parse_from(self, data: bytes, place: int) -> None:
        """Parse the bytes of `data` from `place`, and keep those that follow the last request that may be taken."""
        limits, length = self._protocol_limits, len(data)
        while place < length and self._refusal is None:
            room = limits.pipelined_requests - len(self.pipeline)
            if room <= 0:
                self._unparsed, self._unparsed_from, self._is_usual = data, place, False
                self.flow.hold()
                return
            if self._in_body and data.find(b"\r", place) < 0:  # it has no head, as most parts of a large JSON body
                end = length
            else:
                end = min(length, place + limits.head_bytes - self._bytes_without_effect)
                end = end_of_heads(data, place, end, room)
            self._parse(data if end - place == length else memoryview(data)[place:end])
            place = end

    def _parse(self, piece: bytes | memoryview) -> None:
        self._bytes_without_effect += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as stop:
            rest = piece[stop.args[0] :]
        except httptools.HttpParserError as error:
            self._refuse(self._refusal or refusals.malformed(error))
            return
        else:
            if self._bytes_without_effect:
                self._check_incomplete()
            return
        self._parse_without_upgrade(rest)

    def _check_incomplete(self) -> None:
        """Refuse a head or a trailer section that has not ended within its limits."""
        if self._bytes_without_effect >= self._protocol_limits.head_bytes:
            self._refuse((refusals.large_trailers if self._in_body else refusals.large_head)(self._protocol_limits))
        elif len(self.headers) > self._protocol_limits.head_fields:
            self._refuse((refusals.large_trailers if self._in_body else refusals.many_fields)(self._protocol_limits))

    def _parse_without_upgrade(self, rest: bytes | memoryview) -> None:
        """Parse a head again without its offer of an upgrade, then what follows: its body, and further requests.

        The parser ends a request that offers an upgrade with its head, whatever its length is.
        """
        self._irregularities.count(refusal_reasons.UPGRADE)
        self._offers_upgrade = False
        head = head_without_upgrade(self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._bytes_without_effect = 0
        self._parse(head)
        if len(rest) and self._refusal is None:
            self._parse(rest)

    def on_url(self, url: bytes) -> None:
        """Take a part of the request target."""
        self.url += url
        if len(self.url) > self._protocol_limits.target_bytes:
            self._stop_parser(refusals.long_target(self._protocol_limits))

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the ones before it."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._stop_parser(refusals.connect_method())
            self._offers_upgrade = True
            return
        if len(self.headers) > self._protocol_limits.head_fields:
            self._stop_parser(refusals.many_fields(self._protocol_limits))
        super().on_headers_complete()
        self._bytes_without_effect = 0
        self._in_body = True
        self.headers = []  # trailers go here, and not into the request
        cycle = self.cycle
        cycle.transport = self._early
        if not self.pipeline:
            self._running = cycle
        if cycle.scope["http_version"] == "1.0":  # its client knows no chunks (RFC 9112, 6.1)
            cycle.chunked_encoding, cycle.expected_content_length = False, UNKNOWN_LENGTH
        if self.expect_100_continue:  # a client that gets its answer instead need not send the body (RFC 9110, 10.1.1)
            cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of the body of the last request."""
        self._bytes_without_effect = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End the body of the last request."""
        if self._offers_upgrade:
            return
        if self.headers and len(self.headers) > self._protocol_limits.head_fields:
            self._stop_parser(refusals.large_trailers(self._protocol_limits))
        self._bytes_without_effect = 0
        self._in_body = False
        cycle = self.cycle
        cycle.transport = self.transport
        if self._discard is not None:
            self._discard.end()
            self._discard = None
        if cycle.response_complete:
            return
        if self.expect_100_continue and not cycle.response_started:
            cycle.keep_alive = cycle.scope["http_version"] != "1.0" and self.parser.should_keep_alive()
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        was_last = not self.pipeline
        if not was_last:
            self._running = self.pipeline[-1][0]
        super().on_response_complete()
        if self._in_body or not self._is_usual:
            self._go_on(was_last)

    def _go_on(self, was_last: bool) -> None:
        """Go on after an answer; `was_last`: no request was waiting behind it."""
        if self.transport.is_closing():
            return
        if self._lingers:
            self._unset_keepalive_if_required()  # uvicorn has set it
        elif was_last and self._in_body:
            self._begin_discard()
        elif was_last and self._refusal is not None:
            self._answer(self._refusal)
        elif self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._unset_keepalive_if_required()
            self._parse_from(data, self._unparsed_from)
            if not self._unparsed and self._refusal is None:
                self.flow.release()

    def _stop_parser(self, refusal: Refusal) -> None:
        self._refusal = refusal
        raise RequestRefused

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal, in its turn after the requests before it, and close the connection."""
        self._refusal, self._is_usual = refusal, False
        self._irregularities.refuse(refusal.reason, refusal.kind.status)
        cycle, waits = self.cycle, False
        if self._in_body:
            cycle.disconnected = True  # its answer is dropped
            cycle.message_event.set()
            if cycle.response_started:
                self._linger()
                return
            if self.pipeline:
                self.pipeline.popleft()
                self._in_body, waits = False, True
        elif cycle is not None:
            waits = not cycle.response_complete
        if waits:
            self.flow.hold()
        else:
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        if not self.transport.is_closing():
            self.transport.write(refusal.response(self.server_state.default_headers))
            self._linger()

    def shutdown(self) -> None:
        """Close the connection at once if no request is running, else with the next answer."""
        if self._lingers:
            self.transport.close()
        else:
            super().shutdown()

    def _begin_discard(self) -> None:
        self._discard, self._is_usual = Discard(self.loop, self._protocol_limits, self.transport.abort), False

    def _linger(self) -> None:
        """Send no more, and discard what arrives until the client has closed or the limits of that are reached."""
        if self._lingers or self.transport.is_closing():
            return
        self._lingers = True
        self._unparsed = b""
        self._unset_keepalive_if_required()
        if self._discard is None:
            self._begin_discard()
        if self.transport.can_write_eof():  # TLS cannot close one side only; the answer says that it is the last
            self.transport.write_eof()
        self.flow.release()

"""Refusals: the answers to requests that no route gets, because they are not HTTP or exceed a limit."""

from collections.abc import Iterable
from dataclasses import dataclass

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.protocol.limits import ProtocolLimits
from api.web.problem_kinds import HEAD_TOO_LARGE, MALFORMED_REQUEST, METHOD_NOT_ALLOWED, TARGET_TOO_LONG, ProblemKind
from api.web.problems import ProblemError
from common.telemetry import refusal_reasons


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason for which a request is refused, and its answer."""

    reason: str  #: one of refusal_reasons.IRREGULARITIES
    kind: ProblemKind
    detail: str

    def response(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the bytes of the response, which closes the connection."""
        headers = {"Allow": ""} if self.kind is METHOD_NOT_ALLOWED else {}
        return last_response(ProblemError(self.kind, self.detail, headers=headers), default_headers)


def last_response(problem: ProblemError, default_headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Return the bytes of a response with a problem, which closes the connection."""
    response = problem.response()
    fields = [field for field in default_headers if field[0] != b"connection"]
    fields += [*response.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return STATUS_LINE[problem.kind.status] + lines + b"\r\n" + bytes(response.body)


class RequestRefused(Exception):
    """Raised in a callback of the parser to stop it."""


def malformed(error: httptools.HttpParserError) -> Refusal:
    """Return the refusal of a request that is not HTTP/1.1. The parser's reason has no text of the client's."""
    # The only callback that fails without a refusal is uvicorn's, which parses the target.
    of_target = isinstance(error, httptools.HttpParserCallbackError | httptools.HttpParserInvalidURLError)
    reason = "the request target is invalid" if of_target else str(error)
    return Refusal(
        refusal_reasons.MALFORMED, MALFORMED_REQUEST, f"The request does not have the syntax of HTTP/1.1: {reason}."
    )


def connect_method() -> Refusal:
    """Return the refusal of CONNECT."""
    return Refusal(
        refusal_reasons.CONNECT, METHOD_NOT_ALLOWED, "The API is no proxy: it does not have the method CONNECT."
    )


def long_target(limits: ProtocolLimits) -> Refusal:
    """Return the refusal of a request with too long a target."""
    detail = f"The request target, which is path and query, has more than {limits.target_bytes} bytes."
    return Refusal(refusal_reasons.TARGET, TARGET_TOO_LONG, detail)


def large_head(limits: ProtocolLimits) -> Refusal:
    """Return the refusal of a request with too many bytes before its body."""
    detail = f"Request line and header fields have more than {limits.head_bytes} bytes."
    return Refusal(refusal_reasons.HEAD_BYTES, HEAD_TOO_LARGE, detail)


def many_fields(limits: ProtocolLimits) -> Refusal:
    """Return the refusal of a request with too many header fields."""
    detail = f"The request has more than {limits.head_fields} header fields."
    return Refusal(refusal_reasons.HEAD_FIELDS, HEAD_TOO_LARGE, detail)


def large_trailers(limits: ProtocolLimits) -> Refusal:
    """Return the refusal of a request with too much besides the content of its body."""
    detail = (
        f"A trailer section has at most {limits.head_fields} fields and {limits.head_bytes} bytes, as the header has; "
        f"the line before a chunk has at most {limits.head_bytes} bytes."
    )
    return Refusal(refusal_reasons.TRAILERS, HEAD_TOO_LARGE, detail)

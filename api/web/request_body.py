"""Request bodies: read within limits of size and time, and parsed as strict JSON."""

import asyncio
from collections.abc import Mapping
from typing import Any

import jiter
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.web.problem_kinds import BODY_TIMEOUT, BODY_TOO_LARGE, INVALID_BODY, MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE
from api.web.problems import ProblemError
from common.settings import Settings

# jiter's error for numbers that no double can hold: they are valid JSON, so the problem is `invalid-body`.
_NUMBER_TOO_LONG = "number out of range"
_DUPLICATE_KEY = "Detected duplicate key"
_IDENTITY = b"identity"
_CLOSE = {"Connection": "close"}  # the rest of the body stays unread, so the connection cannot be reused


async def read_json(request: Request, settings: Settings) -> Any:
    """Return the parsed body.

    Raises ProblemError: 415 for another media type or a compressed body, 413 above the size limit (without reading on),
    408 after the time limit, 400 for malformed JSON, which includes duplicate keys, lone surrogates and nesting deeper
    than 200.
    """
    headers = dict(request.scope["headers"])
    _check_media_type(headers)
    raw = await _read(request, settings, headers.get(b"content-length", b""))
    try:
        return jiter.from_json(raw, allow_inf_nan=True, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError as error:
        text = str(error)
        if text.startswith(_NUMBER_TOO_LONG):
            raise ProblemError(INVALID_BODY, f"a {text}", [{"field": "", "reason": f"a {text}"}]) from error
        if text.startswith(_DUPLICATE_KEY):  # the key is left out: it is the client's text, of any length
            text = f"duplicate key{text[text.rindex(' at line') :]}"
        raise ProblemError(MALFORMED_JSON, f"Invalid JSON: {text}") from error


async def read_optional_json(request: Request, settings: Settings) -> Any:
    """Return the parsed body as `read_json` does, or an empty object if the request has no body."""
    return await read_json(request, settings) if _has_body(dict(request.scope["headers"])) else {}


def check_ignored_body(request: Request) -> None:
    """Refuse a body that the route ignores as `read_json` does, if it is not JSON."""
    headers = dict(request.scope["headers"])
    if _has_body(headers):
        _check_media_type(headers)


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _check_media_type(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
    if headers.get(b"content-encoding", _IDENTITY).strip().lower() != _IDENTITY:
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed; send it without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )


async def _read(request: Request, settings: Settings, declared: bytes) -> bytes:
    max_bytes = settings.max_body_bytes
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise ProblemError(
            BODY_TOO_LARGE, f"The body has {declared[:20].decode()} bytes, more than {max_bytes}.", headers=_CLOSE
        )
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            async for part in request.stream():
                size += len(part)
                if size > max_bytes:
                    raise ProblemError(BODY_TOO_LARGE, f"The body has more than {max_bytes} bytes.", headers=_CLOSE)
                parts.append(part)
    except TimeoutError as error:
        raise ProblemError(
            BODY_TIMEOUT, f"The body did not arrive within {settings.body_timeout_seconds:g} s.", headers=_CLOSE
        ) from error
    except ClientDisconnect as error:
        raise ProblemError(MALFORMED_JSON, "The connection was closed before the end of the body.") from error
    return b"".join(parts)

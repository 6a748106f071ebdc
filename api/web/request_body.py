"""Request bodies: read within limits of size and time, and parsed as strict JSON.

The parser, the validators and the serialiser hold the GIL, so a thread would not keep the event loop free of a large
body. Instead a few large bodies are served at a time, and the loop serves other requests between their parts.
"""

import asyncio
import gc
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import jiter
from fastapi import Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from api.web.problem_kinds import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INVALID_BODY,
    MALFORMED_JSON,
    OVERLOADED,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import ProblemError, field_problem
from common.settings import Settings

# jiter's error for numbers that no double can hold: they are valid JSON, so the problem is `invalid-body`.
_NUMBER_TOO_LONG = "number out of range"
_DUPLICATE_KEY = "Detected duplicate key"
_IDENTITY = b"identity"
_CLOSE = {"Connection": "close"}  # the rest of the body stays unread, so the connection cannot be reused


class RequestBodies:
    """Reads the bodies of requests. Large ones take turns, in their order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        #: largest size in bytes of a body that needs no turn, and no check of its shape
        self.plain_bytes = min(settings.large_body_bytes - 1, settings.max_body_containers)
        self._turns = asyncio.Semaphore(settings.large_body_concurrency)
        self._waiting = 0

    def json(self, request: Request, *, optional: bool = False) -> "JsonBody":
        """Return the body for an `async with`, which yields the parsed value. It holds the turn of a large body.

        Without a body an `optional` one is an empty object.
        """
        return JsonBody(self, request, optional=optional)

    def parse(self, raw: bytes) -> Any:
        """Return the value of a JSON document.

        Raises ProblemError: 400 for malformed JSON, which includes duplicate keys, lone surrogates and nesting deeper
        than 200; 422 for too many arrays and objects, or a number that no double can hold.
        """
        maximum = self.settings.max_body_containers
        if len(raw) > maximum and (count := _count_containers(raw, maximum)) > maximum:
            raise field_problem(INVALID_BODY, [("", f"has {count} arrays and objects, more than {maximum}")], 1)
        return _parse_json(raw)

    def parse_large(self, raw: bytes) -> Any:
        """Parse without the garbage collector: with it 350,000 lists take 73 instead of 16 ms."""
        gc.disable()
        try:
            return self.parse(raw)
        finally:
            gc.enable()

    async def take_turn(self) -> None:
        """Wait for a turn. Raises ProblemError (503) if too many bodies wait, or after the time limit."""
        settings = self.settings
        if self._waiting >= settings.large_bodies_waiting:
            raise ProblemError(OVERLOADED, f"{self._waiting} large bodies wait already; nothing was stored.")
        self._waiting += 1
        try:
            async with asyncio.timeout(settings.large_body_wait_seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            limit_s = settings.large_body_wait_seconds
            raise ProblemError(
                OVERLOADED, f"The large body has waited for its turn for {limit_s:g} s; nothing was stored."
            ) from error
        finally:
            self._waiting -= 1

    def end_turn(self) -> None:
        """Give the turn to the next large body."""
        self._turns.release()


class JsonBody:
    """The body of a request. `async with` reads and parses it, and ends the turn of a large one with the block."""

    __slots__ = ("_bodies", "_has_turn", "_optional", "_request")

    def __init__(self, bodies: RequestBodies, request: Request, *, optional: bool) -> None:
        self._bodies = bodies
        self._request = request
        self._optional = optional
        self._has_turn = False

    async def __aenter__(self) -> Any:
        """Return the parsed body.

        Raises ProblemError: 415 for another media type or a compressed body, 413 above the size limit (without reading
        on), 408 after the time limit, and those of `take_turn` and `parse`.
        """
        headers = dict(self._request.scope["headers"])
        if self._optional and not _has_body(headers):
            return {}
        if not self._optional or not _in_chunks(headers):
            _check_media_type(headers)
        raw = await _read(self._request, self._bodies.settings, headers.get(b"content-length", b""))
        if self._optional and _in_chunks(headers):
            if not raw:
                return {}
            _check_media_type(headers)
        if len(raw) <= self._bodies.plain_bytes:
            return _parse_json(raw)
        if len(raw) < self._bodies.settings.large_body_bytes:
            return self._bodies.parse(raw)
        await self._bodies.take_turn()
        self._has_turn = True
        try:
            await asyncio.sleep(0)  # other requests run, here and after the parser
            value = self._bodies.parse_large(raw)
            await asyncio.sleep(0)
        except BaseException:
            self._bodies.end_turn()
            raise
        return value

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the turn of a large body."""
        if self._has_turn:
            self._bodies.end_turn()


def _parse_json(raw: bytes) -> Any:
    try:
        return jiter.from_json(raw, allow_inf_nan=True, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError as error:
        text = str(error)
        if text.startswith(_NUMBER_TOO_LONG):
            raise ProblemError(INVALID_BODY, f"a {text}", [{"field": "", "reason": f"a {text}"}]) from error
        if text.startswith(_DUPLICATE_KEY):  # the key is left out: it is the client's text, of any length
            text = f"duplicate key{text[text.rindex(' at line') :]}"
        raise ProblemError(MALFORMED_JSON, f"Invalid JSON: {text}") from error


def _count_containers(raw: bytes, maximum: int) -> int:
    """Return the number of arrays and objects in a JSON document, or more if that is no more than `maximum`.

    They cost the parser and the validators most.
    """
    count = raw.count(b"[") + raw.count(b"{")
    if count > maximum:  # without the texts: every second part between quotes
        rest = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
        count = rest.count(b"[") + rest.count(b"{")
    return count


async def check_ignored_body(request: Request, settings: Settings) -> None:
    """Refuse a body that the route ignores, if it is not JSON."""
    headers = dict(request.scope["headers"])
    if _has_body(headers):
        try:
            _check_media_type(headers)
        except ProblemError:
            if not _in_chunks(headers) or not await _is_empty(request, settings):
                raise


def _has_body(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _in_chunks(headers: Mapping[bytes, bytes]) -> bool:
    """Return True if the head does not tell whether there is a body: clients send an empty one in chunks too."""
    return b"transfer-encoding" in headers


def _check_media_type(headers: Mapping[bytes, bytes]) -> None:
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
    if headers.get(b"content-encoding", _IDENTITY).strip().lower() != _IDENTITY:
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed; send it without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )


async def _is_empty(request: Request, settings: Settings) -> bool:
    """Return True if a body in chunks ends without a byte, in time."""
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            async for part in request.stream():
                if part:
                    return False
    except (TimeoutError, ClientDisconnect):
        return False
    return True


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


def json_body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """Return the `openapi_extra` of a route with a JSON body of this model."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}

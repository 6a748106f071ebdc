"""Bodies of NDJSON: a submission a line, read in parts, so that a body of any size takes the memory of one part."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.web.problem_kinds import BODY_TIMEOUT, BODY_TOO_LARGE, INVALID_BODY, MALFORMED_JSON, OVERLOADED
from api.web.problems import ProblemError, field_problem
from common.settings import Settings

MEDIA_TYPE = "application/x-ndjson"
_CONTENT_TYPE, _CONTENT_ENCODING = b"content-type", b"content-encoding"
CLOSE = {"Connection": "close"}  # the rest of the body stays unread, so the connection cannot be reused

Lines = list[tuple[int, bytes]]  #: lines that are not empty, with their numbers from 1


def is_ndjson(request: Request) -> bool:
    """Return True if the body of a request is NDJSON without a content coding."""
    headers = dict(request.scope["headers"])
    media_type: bytes = headers.get(_CONTENT_TYPE, b"").partition(b";")[0].strip().lower()
    coding: bytes = headers.get(_CONTENT_ENCODING, b"identity").strip().lower()
    return media_type == MEDIA_TYPE.encode() and coding == b"identity"


class NdjsonPlaces:
    """Limits how many bodies of NDJSON one process reads at a time."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.ndjson_concurrency
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Occupy a place during the block. Raises ProblemError (503) if none is free."""
        if self._taken >= self._most:
            detail = f"{self._taken} bodies of NDJSON are read already; nothing was stored."
            raise ProblemError(OVERLOADED, detail, headers=CLOSE)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class NdjsonBody:
    """The lines of a body, in parts."""

    def __init__(self, request: Request, settings: Settings) -> None:
        self._request = request
        self._settings = settings
        self._digest = hashlib.blake2b(request.scope["path"].rstrip("/").encode() + b"\n", digest_size=16)
        self._number = 0
        self.size = 0  #: bytes that were read

    @property
    def digest(self) -> bytes:
        """A digest of the path and of all that was read."""
        return self._digest.digest()

    async def parts(self) -> AsyncIterator[Lines]:
        """Yield the lines, so many at a time as one statement stores, or that have a megabyte together.

        Raises ProblemError: 413 above the limit of bytes, 408 after the limit of time, 422 for a line that is too long,
        and 400 if the client disconnects.
        """
        settings, lines, held = self._settings, Lines(), 0
        async for line in self._lines():
            self._number += 1
            if line.strip():
                lines.append((self._number, line))
                held += len(line)
            if len(lines) >= settings.ndjson_chunk_jobs or held >= settings.max_body_bytes:
                yield lines
                lines, held = Lines(), 0
        if lines:
            yield lines

    async def _lines(self) -> AsyncIterator[bytes]:
        rest, most = b"", self._settings.max_ndjson_line_bytes
        async for part in self._bytes():
            *complete, rest = (rest + part).split(b"\n")
            for line in complete:
                self._check_line(line, most)
                yield line
            self._check_line(rest, most)
        if rest:
            yield rest

    def _check_line(self, line: bytes, most: int) -> None:
        if len(line) > most:
            problem = field_problem(INVALID_BODY, [(f"{self._number + 1}", f"is longer than {most} bytes")], 1)
            problem.headers.update(CLOSE)
            raise problem

    async def _bytes(self) -> AsyncIterator[bytes]:
        settings = self._settings
        end = asyncio.get_running_loop().time() + settings.ndjson_body_seconds
        stream = self._request.stream()
        while True:
            try:
                async with asyncio.timeout_at(end):
                    part = await anext(stream, None)
            except TimeoutError as error:
                detail = f"The body did not arrive within {settings.ndjson_body_seconds:g} s."
                raise ProblemError(BODY_TIMEOUT, detail, headers=CLOSE) from error
            except ClientDisconnect as error:
                raise ProblemError(MALFORMED_JSON, "The connection was closed before the end of the body.") from error
            if part is None:
                return
            self.size += len(part)
            if self.size > settings.max_ndjson_body_bytes:
                most = settings.max_ndjson_body_bytes
                raise ProblemError(BODY_TOO_LARGE, f"The body has more than {most} bytes.", headers=CLOSE)
            self._digest.update(part)
            yield part

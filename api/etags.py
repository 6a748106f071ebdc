"""Answers that a client may already have (RFC 9110, 8.8 and 13.1)."""

import re

from fastapi import Request, Response

from common.store.read import Moment

# Not compared byte by byte: what is sent may be compressed or not.
_WEAK = re.compile(r'(?:W/)?("[\x21\x23-\x7e]*")')
_HEADER = {"ETag": {"description": "Names this answer; send it back as If-None-Match.", "schema": {"type": "string"}}}
#: For the `responses` of a route.
DOCUMENTED: dict[int | str, dict[str, object]] = {
    200: {"headers": _HEADER},
    304: {"description": "Nothing has changed since the answer that If-None-Match names; without a body.", "headers": _HEADER},
}


def answer(request: Request, moment: Moment, body: bytes) -> Response:
    """Return the answer of a job as it was in a moment, without a body where the client has it."""
    tag = f'"{moment.epoch}.{moment.rev}.{moment.status}"'
    headers = {"ETag": f"W/{tag}", "Cache-Control": "no-cache"}  # ask each time, and mostly be told that nothing has changed
    known = request.headers.get("if-none-match")
    if known is not None and (known.strip() == "*" or tag in _WEAK.findall(known)):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)

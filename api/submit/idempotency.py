"""Idempotency keys of requests (Idempotency-Key header)."""

import hashlib
import json
import re
from typing import Any

import orjson
from fastapi import Request

from api.limits.path_prefix import root_path
from api.web.problem_kinds import INVALID_IDEMPOTENCY_KEY
from api.web.problems import ProblemError
from common.settings import Settings
from common.store.jobs.keyed_insert import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED_HEADER = ((b"idempotency-replayed", b"true"),)
_NAME = HEADER.lower().encode()
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
#: The header's entry in the OpenAPI document.
IDEMPOTENCY_KEY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["order-4711"]},
    "description": "Makes the request safe to retry. A second request with the same key and body stores nothing and "
    "returns 200 with the jobs of the first. Keys are remembered for JOBPROC_IDEMPOTENCY_SECONDS.",
}


def idempotency_key(request: Request, body: Any, settings: Settings) -> IdempotencyKey | None:
    """Return the idempotency key of a request, bound to its path and body; None if it has none.

    Raises ProblemError for a key that is not 1 to 255 printable ASCII characters.
    """
    key = checked_key(request)
    if key is None:
        return None
    return IdempotencyKey(key, _digest(_path(request), body), settings.idempotency_seconds)


def checked_key(request: Request) -> str | None:
    """Return the text of a request's idempotency key; None if it has none. Raises as `idempotency_key`."""
    # Faster than the framework's look-up for requests without a key.
    for name, value in request.scope["headers"]:
        if name == _NAME:
            key = str(value.decode("latin-1"))
            if not _FORM.fullmatch(key):
                raise ProblemError(INVALID_IDEMPOTENCY_KEY)
            return key
    return None


def _path(request: Request) -> str:
    """Return the path of a request as the API knows it, whatever prefix a proxy serves it under."""
    path: str = request.scope["path"]
    return path.removeprefix(root_path(request.scope)).rstrip("/")


def _digest(path: str, body: Any) -> bytes:
    """Return a digest of path and body that does not depend on whitespace or on the order of members."""
    try:
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits
        text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(path.encode() + b"\n" + text, digest_size=16).digest()

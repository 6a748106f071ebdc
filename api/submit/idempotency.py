"""Idempotency keys of requests."""

import hashlib
import json
import re
from typing import Any

import orjson
from fastapi import Request

from api.web.problems import INVALID_IDEMPOTENCY_KEY, ProblemError
from common.settings import Settings
from common.store.jobs.keyed_insert import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED_HEADER = ((b"idempotency-replayed", b"true"),)
_NAME = HEADER.lower().encode()
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
#: How it stands in the OpenAPI document.
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["order-4711"]},
    "description": "Makes a repeat safe: the same key with the same body is answered with what the first one stored, and 200. "
    "Remembered for JOBPROC_IDEMPOTENCY_SECONDS.",
}


def idempotency_key(request: Request, body: Any, settings: Settings) -> IdempotencyKey | None:
    """Return the key of a request with this body, None when it has none. Raises ProblemError for one that breaks the rule."""
    for name, value in request.scope["headers"]:  # quicker than the framework's own look-up, for all requests that have none
        if name == _NAME:
            given = value.decode("latin-1")
            break
    else:
        return None
    if not _FORM.fullmatch(given):
        raise ProblemError(INVALID_IDEMPOTENCY_KEY)
    return IdempotencyKey(given, _digest(request.url.path.rstrip("/"), body), settings.idempotency_seconds)


def _digest(path: str, body: Any) -> bytes:
    """Return what two bodies share that say the same: spaces and the order of members do not count."""
    try:
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer of more than 64 bits
        text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(path.encode() + b"\n" + text, digest_size=16).digest()

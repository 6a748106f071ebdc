"""What a request is called: in its answer, and in the log lines that it leads to."""

import re
import secrets
from itertools import count

from starlette.types import Scope

from common.telemetry import logs

HEADER = b"x-request-id"
_SENT = re.compile(rb"[\w.:/+=@-]{1,128}")
_prefix = secrets.token_hex(6).encode()  # of this process
_numbers = count(1)


def assign(scope: Scope) -> bytes:
    """Return the id that came with a request, or else a new one; log lines carry it from here on.

    One that is longer than 128 characters, or has others than letters, digits and `_.:/+=@-`, is not taken over.
    """
    found = None
    for key, value in scope["headers"]:
        if key == HEADER:
            found = value if _SENT.fullmatch(value) else None
            break
    if found is None:
        found = b"%b-%x" % (_prefix, next(_numbers))
    logs.request_id.set(found)
    return found

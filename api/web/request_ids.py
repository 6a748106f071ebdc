"""Request ids: taken from X-Request-ID or generated; returned in the response and added to log lines."""

import re
import secrets
from collections.abc import Mapping
from itertools import count

from common.telemetry import logs

HEADER = b"x-request-id"
_VALID_ID = re.compile(rb"[\w.:/+=@-]{1,128}")
_prefix = secrets.token_hex(6).encode()  # differs between processes
_numbers = count(1)


def assign(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the id that the client sent in `headers`, or a new one, and add it to the log lines of this request.

    An id is replaced if it is longer than 128 characters or has characters other than letters, digits and `_.:/+=@-`.
    """
    request_id = headers.get(HEADER)
    if request_id is None or _VALID_ID.fullmatch(request_id) is None:
        request_id = b"%b-%x" % (_prefix, next(_numbers))
    logs.request_id.set(request_id)
    return request_id

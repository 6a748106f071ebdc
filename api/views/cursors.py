"""Cursors of lists: opaque, signed tokens for the position at which a page begins."""

import base64
import hashlib
import hmac
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.domain.job_search import JobSearch, ListPosition
from common.settings import Settings

# Version, digest of the list, "is in the order of ends", microseconds since 1970, job id.
_LAYOUT = struct.Struct(">B8s?q16s")
_VERSION = 1
_MAC_BYTES = 16
MAX_CURSOR_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cursors:
    """Encodes and decodes list positions. Processes with the same settings accept each other's cursors."""

    def __init__(self, settings: Settings, tenant: int) -> None:
        """`tenant`: that of the caller. A cursor of another tenant's list is none of these."""
        self._tenant = tenant
        secret = settings.cursor_key or settings.database_url + settings.database_password
        self._key = hashlib.sha256(f"jobproc cursors {secret}".encode()).digest()

    def encode(self, search: JobSearch | str | None, position: ListPosition) -> str:
        """Return the cursor for a position in a list of jobs, or in the list of bulk actions if `search` is None.

        A text names another list, with its filters.
        """
        is_by_end = position.finished_at is not None
        micros = 0 if position.finished_at is None else (position.finished_at - _EPOCH) // timedelta(microseconds=1)
        body = _LAYOUT.pack(_VERSION, _digest(self._tenant, search), is_by_end, micros, position.job_id.bytes)
        return _text(body + self._mac(body))

    def decode(self, search: JobSearch | str | None, cursor: str) -> ListPosition | None:
        """Return the position of a cursor, None if its signature is invalid or it belongs to another list."""
        try:
            raw = base64.b64decode(cursor[:MAX_CURSOR_CHARACTERS] + "==", b"-_", validate=False)
        except ValueError:
            return None
        if _text(raw) != cursor:  # the decoder ignores bits of the last character, and characters of no meaning
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) != _LAYOUT.size or not hmac.compare_digest(mac, self._mac(body)):
            return None
        version, digest, is_by_end, micros, job_id = _LAYOUT.unpack(body)
        if version != _VERSION or digest != _digest(self._tenant, search):
            return None
        return ListPosition(UUID(bytes=job_id), _EPOCH + timedelta(microseconds=micros) if is_by_end else None)

    def position(self, search: JobSearch | str | None, cursor: str | None) -> ListPosition | None:
        """Return the position of a request's cursor, None without one. Raises ProblemError if it is of another list."""
        if cursor is None:
            return None
        position = self.decode(search, cursor)
        if position is None:
            reason = "is not a cursor of this list; use `next` of the previous page"
            raise field_problem(INVALID_PARAMETER, [("cursor", reason)], 1)
        return position

    def next_path(self, name: str, path: str, query: Mapping[str, Any], last: UUID) -> str:
        """Return the path of the page behind the last row of a list with a name. `query`: the other parameters."""
        return f"{path}?{urlencode({**query, 'cursor': self.encode(name, ListPosition(last))})}"

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(tenant: int, search: JobSearch | str | None) -> bytes:
    """Return the identity of a list: its tenant, its filters and its order, but not its page size."""
    if search is None:
        return hashlib.sha256(f"actions {tenant}".encode()).digest()[:8]
    if isinstance(search, str):
        return hashlib.sha256(f"list {tenant} {search}".encode()).digest()[:8]
    filters = [
        tenant,
        sorted(search.statuses),
        search.operation,
        search.queue,
        search.tag,
        search.batch and str(search.batch),
        search.error,
        search.order,
        search.descending,
    ]
    contents = [search.id_suffix, search.error_group, search.input, search.metadata]
    if any(contents):
        filters += contents
    times = [search.created_after, search.created_before, search.finished_after, search.finished_before]
    return hashlib.sha256(
        repr(filters + [instant and instant.astimezone(UTC).isoformat() for instant in times]).encode()
    ).digest()[:8]

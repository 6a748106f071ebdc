"""Where a page of a list begins, as an opaque word that only this service can write."""

import base64
import hashlib
import hmac
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from common.domain.job_search import JobSearch, ListPosition
from common.settings import Settings

_LAYOUT = struct.Struct(">B8s?q16s")  # version, digest of the list, whether it is in the order of ends, microseconds, id
_VERSION = 1
_MAC_BYTES = 16
MAX_CURSOR_CHARACTERS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cursors:
    """Signs and reads places. Processes with the same settings read each other's."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.cursor_key or settings.database_url
        self._key = hashlib.sha256(f"jobproc cursors {secret}".encode()).digest()

    def encode(self, search: JobSearch | None, position: ListPosition) -> str:
        """Return the word for a place in a list of jobs, or, without a search, in that of the actions."""
        by_end = position.finished_at is not None
        micros = 0 if position.finished_at is None else (position.finished_at - _EPOCH) // timedelta(microseconds=1)
        body = _LAYOUT.pack(_VERSION, _digest(search), by_end, micros, position.job_id.bytes)
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def decode(self, search: JobSearch | None, cursor: str) -> ListPosition | None:
        """Return the place that a word stands for, None for one that was not written here, or for another list."""
        try:
            raw = base64.b64decode(cursor[:MAX_CURSOR_CHARACTERS] + "==", b"-_", validate=False)
        except ValueError:
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) != _LAYOUT.size or not hmac.compare_digest(mac, self._mac(body)):
            return None
        version, digest, by_end, micros, job_id = _LAYOUT.unpack(body)
        if version != _VERSION or digest != _digest(search):
            return None
        return ListPosition(UUID(bytes=job_id), _EPOCH + timedelta(microseconds=micros) if by_end else None)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def _digest(search: JobSearch | None) -> bytes:
    """Return what tells a list from others: its filters and its order, not the size of its pages."""
    if search is None:
        return hashlib.sha256(b"actions").digest()[:8]
    told = [sorted(search.statuses), search.operation, search.queue, search.tag, search.error, search.order, search.descending]
    times = [search.created_after, search.created_before, search.finished_after, search.finished_before]
    return hashlib.sha256(repr(told + [instant and instant.astimezone(UTC).isoformat() for instant in times]).encode()).digest()[:8]

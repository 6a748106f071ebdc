"""Responses that clients have not read yet: a limit of their bytes in the memory of a process."""

import asyncio
from typing import Any

from api.limits.refusals import Refusals
from common.telemetry import refusal_reasons


class UnreadResponses:
    """The connections whose clients read too slowly, and the bytes that wait for them.

    Beyond the limit the connection that has waited longest is closed: a client on a good network reads within
    milliseconds, so it is almost never this one.
    """

    def __init__(self, max_bytes: int, refusals: Refusals) -> None:
        self._max_bytes = max_bytes
        self._refusals = refusals
        #: by connection, the longest wait first: its transport, the bytes that wait, the client's address
        self._waiting: dict[Any, tuple[asyncio.Transport, int, str]] = {}
        self.bytes = 0  #: that wait, by the size of each connection when its client began to fall behind

    def add(self, connection: Any, transport: asyncio.Transport, address: str) -> None:
        """Count the bytes that wait for a client which does not keep up."""
        size = transport.get_write_buffer_size()
        self._waiting[connection] = transport, size, address
        self.bytes += size
        while self.bytes > self._max_bytes and len(self._waiting) > 1:
            oldest = next(iter(self._waiting))
            slow_transport, _, slow_address = self._waiting[oldest]
            self.remove(oldest)
            slow_transport.abort()
            self._refusals.count(refusal_reasons.UNREAD_BYTES, slow_address)

    def remove(self, connection: Any) -> None:
        """Forget a connection whose client has caught up or has left."""
        if connection in self._waiting:
            self.bytes -= self._waiting.pop(connection)[1]

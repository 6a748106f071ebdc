"""Discarding of what a client still sends after the answer, as nginx's lingering close does.

A connection that is closed while its client sends is reset, and the reset removes the answer that the client has not
read yet.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable

from api.protocol.limits import ProtocolLimits


class Discard:
    """The rest of the time and of the bytes for which a client may go on sending."""

    def __init__(self, loop: AbstractEventLoop, limits: ProtocolLimits, abort: Callable[[], None]) -> None:
        """Begin; `abort` is called when the time is over or the bytes are used up."""
        self._bytes_left = limits.discard_bytes
        self._abort = abort
        self._timer = loop.call_later(limits.discard_seconds, abort)

    def count(self, size: int) -> None:
        """Count bytes that arrived."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            self._abort()

    def end(self) -> None:
        """End without aborting."""
        self._timer.cancel()

"""Limits of a connection, taken from the settings."""

from dataclasses import dataclass

from common.settings import Settings


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """Limits of what a client may send on one connection."""

    head_bytes: int  #: request line and header fields of a request; also the trailers after its body
    head_fields: int
    target_bytes: int
    pipelined_requests: int  #: that wait behind the one that is being answered
    discard_seconds: float  #: for what a client still sends after its answer
    discard_bytes: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "ProtocolLimits":
        """Return the limits that the settings set."""
        return cls(
            head_bytes=settings.max_head_bytes,
            head_fields=settings.max_head_fields,
            target_bytes=settings.max_target_bytes,
            pipelined_requests=settings.max_pipelined_requests,
            discard_seconds=settings.discard_seconds,
            discard_bytes=settings.max_discard_bytes,
        )

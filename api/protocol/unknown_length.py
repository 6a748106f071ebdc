"""The length of a response to a client that knows no chunks: its end is the end of the connection."""


class UnknownLength(int):
    """A length that no response exceeds or falls short of, for uvicorn's comparisons with the bytes sent."""

    __slots__ = ()

    def __lt__(self, _other: int) -> bool:
        """Return False: no part of a response is longer."""
        return False

    def __sub__(self, _other: int) -> "UnknownLength":
        """Return itself: the rest is unknown too."""
        return self


UNKNOWN_LENGTH = UnknownLength(0)

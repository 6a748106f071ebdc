"""Steps: everything that a call asks of its driver, as values.

A call is a generator. It yields steps, and the driver sends it the outcome of each, whether it waits or awaits. So
retries, tokens, pages, streams and `map` are written once.
"""

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from jobproc.client.connection.request import Request, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request of HTTP. The outcome is a Response or Lost."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request whose response is a stream of lines. The outcome is a Response or Lost."""

    request: Send


@dataclass(frozen=True, slots=True)
class ReadLine:
    """Read a line of the open stream. The outcome is the line, None at the end, or Lost."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A request without a response."""

    reason: str
    was_sent: bool  #: it may have arrived


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Take:
    """Take the next item of an iterator. The outcome is the item, or END."""

    source: Iterator[Any] | AsyncIterator[Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Give an item to the caller, who iterates over the call."""

    item: Any


END = object()
Step = Send | Open | ReadLine | Pause | Take | Emit
#: A call as its driver sees it.
Steps = Generator[Step, Any, T]
#: A call as it is written: of requests, whose values are sent back, and of steps.
Flow = Generator["Request[Any] | Step", Any, T]

__all__ = ["END", "Emit", "Flow", "Lost", "Open", "Pause", "ReadLine", "Response", "Send", "Step", "Steps", "Take"]

"""What clients did and were told, in the order of their ends; a line of JSON each, so that a run can be looked at."""

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Answer(StrEnum):
    """What a client knows after a call."""

    OK = "ok"  # it happened
    REFUSED = "refused"  # it certainly did not
    UNKNOWN = "unknown"  # no answer, or one that does not say


@dataclass(frozen=True, slots=True)
class Sent:
    """A job as it was sent. The last number of its data is of this job alone, so that its row is found without an id."""

    operation: str
    data: tuple[float, ...]

    @property
    def tag(self) -> float:
        """The number that no other job has."""
        return self.data[-1]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who, what, from when to when by the harness's monotonic clock, what came back."""

    what: str
    client: int
    began_s: float
    ended_s: float
    answer: Answer
    status: int | None = None  #: of HTTP, None: none came
    sent: tuple[Sent, ...] = ()
    ids: tuple[str, ...] = ()  #: of the jobs that it named, in the order of `sent` where it sent some
    seen: dict[str, Any] = field(default_factory=dict)  #: what a read showed, or a cancel or a retry was answered
    again: Sent | None = None  #: the input that a retry brought, None: none
    key: str | None = None  #: the idempotency key of the request


class History:
    """All calls of a run. Many threads write."""

    def __init__(self, path: Path) -> None:
        self.calls: list[Call] = []
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """Write one down."""
        with self._lock:
            self.calls.append(call)
            self._file.write(json.dumps(asdict(call)) + "\n")

    def close(self) -> None:
        """Close its file."""
        self._file.close()


def now_s() -> float:
    """Return the time by which everything is ordered: of one machine, never set back."""
    return time.monotonic()

"""The calls of clients with their answers, in the order of their ends; one line of JSON each, for people to read."""

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from faults.jobs import SentJob


class Answer(StrEnum):
    """The knowledge that a client has after a call."""

    OK = "ok"  # the request took effect
    REFUSED = "refused"  # it certainly had no effect
    UNKNOWN = "unknown"  # no answer, or an ambiguous one


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client; times are of the harness's monotonic clock."""

    action: str
    client: int
    began_s: float
    ended_s: float
    answer: Answer
    status: int | None = None  #: HTTP status, None: no response
    sent: tuple[SentJob, ...] = ()
    job_ids: tuple[str, ...] = ()  #: jobs that the call named or created; in the order of `sent` if it sent any
    response: dict[str, Any] = field(default_factory=dict)  #: body of a read, or of an accepted cancel or retry
    retry_input: SentJob | None = None  #: the new input of a manual retry, None: the input stays
    idempotency_key: str | None = None
    wait_s: float = 0.0  #: the `wait` of a long poll
    tenant: int = 1  #: of the client
    key: str = ""  #: id of the API key that was sent
    problem: str = ""  #: type of the problem that was answered


class History:
    """All calls of a run, in memory and in a file. Safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self.calls: list[Call] = []
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """Record a call."""
        with self._lock:
            self.calls.append(call)
            self._file.write(json.dumps(asdict(call)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def now_s() -> float:
    """Return the time that orders all evidence: the monotonic clock of one machine, which is never set back."""
    return time.monotonic()

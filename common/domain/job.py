"""Values of a job: its id, what is submitted, what a claim returns."""

import sys
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

QUEUE_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,62}"  # a queue's name is part of a Redis key, a label and a URL
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
PRIORITIES = range(10)  #: 0 is taken first

_RANDOM_BITS = 74


def required_operation(operation: str, version: int) -> str:
    """Return what a worker has to know to run a version of an operation."""
    return operation if version == 1 else f"{operation}@{version}"


def new_job_id(unix_ms: int, random_bits: int) -> UUID:
    """Return a UUIDv7 (RFC 9562, 5.7) of a time in Unix milliseconds and 74 random bits."""
    bits = random_bits & ((1 << _RANDOM_BITS) - 1)
    return UUID(int=(unix_ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1))


def first_job_id(unix_ms: int) -> UUID:
    """Return the smallest UUID of a time: the bound between two partitions."""
    return UUID(int=(unix_ms & 0xFFFFFFFFFFFF) << 80)


def job_unix_ms(job_id: UUID) -> int:
    """Return the Unix milliseconds in a UUIDv7."""
    return job_id.int >> 80


class HeldWhile(StrEnum):
    """How long a unique key is held. Names are stored."""

    WAITING = "waiting"  #: until the first attempt begins
    RUNNING = "running"  #: while an attempt runs: such jobs run one after the other
    BOTH = "both"  #: until the job has ended


class OnConflict(StrEnum):
    """What becomes of a submission whose unique key is held."""

    REJECT = "reject"  #: it is refused
    RETURN = "return"  #: it is answered with the job that holds the key
    REPLACE = "replace"  #: the job that holds the key is cancelled, unless it runs: then it is refused


@dataclass(frozen=True, slots=True)
class Unique:
    """One job a key at a time."""

    key: str
    held_while: HeldWhile
    on_conflict: OnConflict


@dataclass(frozen=True, slots=True)
class Options:
    """What few submissions ask for."""

    run_at: datetime | None = None  #: not before; None: at once
    delay_s: float | None = None  #: not before so many seconds have passed at the database
    deadline: datetime | None = None  #: ended by then, or it ends FAILED
    retry_base_s: float | None = None  #: None: as its operation
    retry_cap_s: float | None = None
    keep_s: int | None = None  #: kept for so long after its end; None: as the operator says
    tags: tuple[str, ...] = ()
    metadata: str | None = None  #: JSON object as text
    unique: Unique | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submission that has passed every check."""

    id: UUID
    operation: str
    queue: str
    input: str  #: JSON text, stored as it is
    max_attempts: int
    timeout_ms: int | None  #: None: the job may run without limit
    priority: int = DEFAULT_PRIORITY
    trace: str | None = None  #: W3C traceparent of the request, None when it is not traced
    version: int = 1  #: of its operation
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class ClaimExtras:
    """What few jobs have."""

    isolated: bool = False  #: it may have taken a process down: nothing else is to be in the hands of its process
    crashes: int = 0  #: attempts that have certainly taken their process down
    retry_base_s: float | None = None  #: None: as its operation
    retry_cap_s: float | None = None
    deadline_in_s: float | None = None  #: seconds until its deadline, at the claim
    running_key: str | None = None  #: the unique key under which only one runs at a time
    is_input_large: bool = False  #: its input did not come with the claim


@dataclass(slots=True)
class ClaimedJob:
    """A job in the hands of a worker process. `id`, `attempt` and the worker are the fence of every later write."""

    id: str
    attempt: int
    released: int  #: attempts given back; they are not charged
    max_attempts: int
    operation: str
    input: str | None  #: JSON text; None where the reader did not ask for it (rescue)
    timeout_ms: int | None
    trace: str | None = None
    waited_s: float = 0.0  #: from when it was due to this claim
    extras: ClaimExtras | None = None

    @property
    def charged(self) -> int:
        """Attempts that count against max_attempts, this one included."""
        return self.attempt - self.released

    @property
    def crashes(self) -> int:
        """Attempts before this one that have certainly taken their process down."""
        return 0 if self.extras is None else self.extras.crashes

    @property
    def isolated(self) -> bool:
        """Whether nothing else is to be in the hands of its process while it runs."""
        return self.extras is not None and self.extras.isolated

    @property
    def is_past_deadline(self) -> bool:
        """Whether its deadline had passed when it was read."""
        return self.extras is not None and self.extras.deadline_in_s is not None and self.extras.deadline_in_s <= 0

    @property
    def effective_timeout_ms(self) -> int | None:
        """The limit of this attempt in milliseconds: its own, or what is left until the deadline; None: no limit."""
        left_s = None if self.extras is None else self.extras.deadline_in_s
        return self.timeout_ms if left_s is None else max(1, min(round(left_s * 1000), self.timeout_ms or sys.maxsize))

"""Values of a job: its id, what is submitted, what a claim returns."""

from dataclasses import dataclass
from uuid import UUID

QUEUE_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,62}"  # a queue's name is part of a Redis key, a label and a URL
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
PRIORITIES = range(10)  #: 0 is taken first

_RANDOM_BITS = 74


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


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submission that has passed every check."""

    id: UUID
    operation: str
    queue: str
    input: str  #: JSON object as text, stored as it is
    max_attempts: int
    timeout_ms: int | None  #: None: the job may run without limit
    priority: int = DEFAULT_PRIORITY
    trace: str | None = None  #: W3C traceparent of the request, None when it is not traced


@dataclass(slots=True)
class Claimed:
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

    @property
    def charged(self) -> int:
        """Attempts that count against max_attempts, this one included."""
        return self.attempt - self.released

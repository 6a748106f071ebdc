"""Values of a job: its id, its submission, and the claimed job that a worker process runs."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.domain.workflows import AddedJob, Dependencies

QUEUE_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,62}"  # the name is part of a Redis key, a metric label and a URL
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
PRIORITIES = range(10)  #: 0 is claimed first

_RANDOM_BITS = 74


def required_operation(operation: str, version: int) -> str:
    """Return the name that a worker must list among its operations to run a version of one."""
    return operation if version == 1 else f"{operation}@{version}"


def new_job_id(unix_ms: int, random_bits: int) -> UUID:
    """Return a UUIDv7 (RFC 9562, 5.7) made of a time in Unix milliseconds and 74 random bits."""
    bits = random_bits & ((1 << _RANDOM_BITS) - 1)
    return UUID(
        int=(unix_ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1)
    )


def first_job_id(unix_ms: int) -> UUID:
    """Return the smallest UUID of a time in Unix milliseconds; partitions are bounded by such ids."""
    return UUID(int=(unix_ms & 0xFFFFFFFFFFFF) << 80)


def job_unix_ms(job_id: UUID) -> int:
    """Return the time in a UUIDv7, in Unix milliseconds."""
    return job_id.int >> 80


class HeldWhile(StrEnum):
    """The time for which a job holds its unique key. Names are stored."""

    WAITING = "waiting"  #: until the first attempt begins
    RUNNING = "running"  #: while an attempt runs, so such jobs run one after the other
    BOTH = "both"  #: until the job has ended


class OnConflict(StrEnum):
    """Handling of a submission whose unique key is held by another job."""

    REJECT = "reject"  #: refuse the submission
    RETURN = "return"  #: answer with the job that holds the key
    REPLACE = "replace"  #: cancel the job that holds the key; refuse the submission if that job runs


@dataclass(frozen=True, slots=True)
class Unique:
    """Deduplication of jobs: only one job may hold the key at a time."""

    key: str
    held_while: HeldWhile
    on_conflict: OnConflict


@dataclass(frozen=True, slots=True)
class Options:
    """Options that few submissions set, so most jobs carry none of them."""

    run_at: datetime | None = None  #: earliest start; None: at once
    delay_s: float | None = None  #: earliest start, in seconds from the commit by the database's clock
    deadline: datetime | None = None  #: a job that has not ended by then ends FAILED
    retry_base_s: float | None = None  #: seconds; None: the operation's default
    retry_cap_s: float | None = None  #: seconds; None: the operation's default
    keep_s: int | None = None  #: seconds from its end to its deletion; None: the retention of the settings
    tags: tuple[str, ...] = ()
    metadata: str | None = None  #: JSON object as text
    unique: Unique | None = None
    dependencies: Dependencies | None = None  #: its place in a workflow; None: it is in none
    concurrency_key: str | None = None  #: jobs of its queue with this key have limits of their own
    webhook: UUID | None = None  #: the endpoint that is told of the end of each run


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submission that has passed every check."""

    id: UUID
    operation: str
    queue: str
    input: str  #: JSON text, stored unchanged
    max_attempts: int
    timeout_ms: int | None  #: limit of one attempt; None: no limit
    priority: int = DEFAULT_PRIORITY
    trace: str | None = None  #: W3C traceparent of the request; None: not traced
    version: int = 1  #: version of the operation
    options: Options | None = None
    tenant: int = DEFAULT_TENANT  #: that of the caller who submits it
    submitted_by: str | None = None  #: the subject of that caller; None: callers are not authenticated


class RunningKey(NamedTuple):
    """A unique key that a job holds while it runs. Each tenant has its own keys."""

    tenant: int
    key: str


class ConcurrencyKey(NamedTuple):
    """A key whose jobs in a queue have limits of their own. Each tenant has its own keys."""

    tenant: int
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class ClaimExtras:
    """Properties that few claimed jobs have."""

    run: int = 0  #: of the job: 0, unless it was retried manually
    isolated: bool = False  #: it may have crashed a process, so its process holds no other job while it runs
    crashes: int = 0  #: earlier attempts that certainly crashed their process
    retry_base_s: float | None = None  #: seconds; None: the operation's default
    retry_cap_s: float | None = None  #: seconds; None: the operation's default
    deadline_in_s: float | None = None  #: seconds from the claim to its deadline
    running_key: RunningKey | None = None  #: unique key that the job holds while it runs
    concurrency_key: ConcurrencyKey | None = None
    is_input_large: bool = False  #: the claim left the input out; the worker process reads it before the attempt
    deadline: str | None = None  #: ISO 8601
    tags: tuple[str, ...] | list[str] | None = None  #: of the submission
    metadata: dict[str, Any] | None = None  #: of the submission
    has_webhook: bool = False  #: an endpoint is told of the end of the run


class Links(NamedTuple):
    """The links of a claimed job to others of its workflow, as the claim tells them."""

    flags: str  #: PARENTS and CHILDREN, if it has some
    joins: str  #: ids of jobs that wait for it and for others, separated by commas

    @classmethod
    def of_claim(cls, text: str) -> "Links | None":
        """Return the links in a value of CLAIM_EXTRAS, which is JSON if the job has other properties of it."""
        if text[0] == "{":
            if '"links" : null' in text:
                return None
            text = json.loads(text)["links"]
        flags, _, joins = text.partition("{")
        return cls(flags, joins[:-1])


PARENTS, CHILDREN = "p", "c"


@dataclass(slots=True)
class ClaimedJob:
    """A job that a worker process has claimed. `id`, `attempt` and the worker are the fence of every later write."""

    id: str
    attempt: int
    released: int  #: released attempts; they are not charged
    max_attempts: int
    operation: str
    input: str | None  #: JSON text; None if the statement does not select it (rescue)
    timeout_ms: int | None
    trace: str | None = None
    waited_s: float = 0.0  #: seconds from its due time to this claim
    extras: ClaimExtras | None = None
    tenant: int = DEFAULT_TENANT
    links: Links | None = None  #: to other jobs of its workflow; None: it is in none
    added: list[AddedJob] | None = None  #: jobs that the attempt adds to the workflow

    @property
    def charged(self) -> int:
        """The number of attempts that count against `max_attempts`, this one included."""
        return self.attempt - self.released

    @property
    def run(self) -> int:
        """The number of the run that this attempt belongs to."""
        return 0 if self.extras is None else self.extras.run

    @property
    def trace_id(self) -> str | None:
        """The trace id of its W3C traceparent; None: the job is not traced."""
        return None if self.trace is None else self.trace.split("-")[1]

    @property
    def crashes(self) -> int:
        """The number of earlier attempts that certainly crashed their process."""
        return 0 if self.extras is None else self.extras.crashes

    @property
    def running_key(self) -> RunningKey | None:
        """The unique key that the job holds while it runs; None: it has none."""
        return None if self.extras is None else self.extras.running_key

    @property
    def concurrency_key(self) -> ConcurrencyKey | None:
        """The key whose jobs in the queue have limits of their own."""
        return None if self.extras is None else self.extras.concurrency_key

    @property
    def has_webhook(self) -> bool:
        """True if an endpoint is told of the end of the run."""
        return self.extras is not None and self.extras.has_webhook

    @property
    def isolated(self) -> bool:
        """True if its process may hold no other job while it runs."""
        return self.extras is not None and self.extras.isolated

    @property
    def is_past_deadline(self) -> bool:
        """True if its deadline had passed when the row was read."""
        return self.extras is not None and self.extras.deadline_in_s is not None and self.extras.deadline_in_s <= 0

    @property
    def effective_timeout_ms(self) -> int | None:
        """The limit of this attempt in milliseconds: its timeout or, if less, the time to its deadline."""
        remaining_s = None if self.extras is None else self.extras.deadline_in_s
        if remaining_s is None:
            return self.timeout_ms
        return max(1, min(round(remaining_s * 1000), self.timeout_ms or sys.maxsize))

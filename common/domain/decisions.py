"""What happens next to a job: pure, from the job, what became of its attempt, its policy and a random number."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from common.domain.job import Claimed
from common.domain.retry import RetryPolicy


class Ended(StrEnum):
    """How an attempt ended without a result. Names are stored."""

    ERROR = "error"  #: the operation raised
    PERMANENT = "permanent"  #: the operation raised what its registration calls permanent
    TIMEOUT = "timeout"  #: it ran past the job's time limit; its process was ended
    LOST = "lost"  #: its process died, or its lease ran out
    RELEASED = "released"  #: given back unfinished on purpose; not charged


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a result."""

    ended: Ended
    error_type: str  #: a code such as `timeout`, or the class of the exception
    error_text: str  #: for people; cut to the limit of the settings


@dataclass(frozen=True, slots=True)
class Fail:
    """The job ends FAILED."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """The job runs again after a delay."""

    failure: Failure
    delay_s: float


@dataclass(frozen=True, slots=True)
class Release:
    """The job goes back to its queue at once and the attempt is not charged."""

    failure: Failure


Decision = Fail | Retry | Release

WORKER_LOST = Failure(Ended.LOST, "worker_lost", "the worker process died or its lease ran out")
RELEASED = Failure(Ended.RELEASED, "released", "given back before it had ended")


def timed_out(timeout_ms: int) -> Failure:
    """Return the failure of an attempt that ran past its limit in milliseconds."""
    return Failure(Ended.TIMEOUT, "timeout", f"the attempt ran longer than its limit of {timeout_ms / 1000:g} s")


def decide(job: Claimed, failure: Failure, policy: RetryPolicy, jitter: float) -> Decision:
    """Return what to write for an attempt that gave no result. `jitter` is uniform in [0, 1)."""
    match failure.ended:
        case Ended.RELEASED:
            return Release(failure)
        case Ended.PERMANENT:
            return Fail(failure)
        case Ended.ERROR | Ended.TIMEOUT | Ended.LOST:
            if job.charged >= job.max_attempts:
                return Fail(failure)
            return Retry(failure, policy.delay_s(job.charged, jitter))
        case _:
            assert_never(failure.ended)

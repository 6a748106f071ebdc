"""What happens next to a job: pure, from the job, what became of its attempt, its policy and a random number."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from common.domain.job import ClaimedJob
from common.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """What an attempt took; None: nobody has seen it."""

    run_s: float | None = None  #: seconds in the operation
    cpu_s: float | None = None  #: seconds of its process's CPU meanwhile
    peak_mib: float | None = None  #: most memory that its process had


UNMEASURED = AttemptUsage()


class AttemptOutcome(StrEnum):
    """How an attempt ended without a result. Names are stored."""

    ERROR = "error"  #: the operation raised
    PERMANENT = "permanent"  #: the operation raised what its registration calls permanent
    TIMEOUT = "timeout"  #: it ran past the job's time limit; its process was ended
    LOST = "lost"  #: its process died, or its lease ran out
    CANCELLED = "cancelled"  #: its client asked it to stop: it did, or its process was ended
    RELEASED = "released"  #: given back unfinished on purpose; not charged


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a result."""

    outcome: AttemptOutcome
    error_type: str  #: a code such as `timeout`, or the class of the exception
    error_text: str  #: for people; cut to the limit of the settings
    retry_after_s: float | None = None  #: the operation knows better than its backoff when to try again
    usage: AttemptUsage = UNMEASURED


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
    isolated: bool = False  #: from now on it runs without neighbours: it, or one of them, may have taken their worker down


Decision = Fail | Retry | Release
MAX_RETRY_AFTER_S = 86_400.0
MAX_CRASHES = 3

WORKER_LOST = Failure(AttemptOutcome.LOST, "worker_lost", "the worker process died or its lease ran out")
RELEASED = Failure(AttemptOutcome.RELEASED, "released", "given back before it had ended")
CANCELLED = Failure(AttemptOutcome.CANCELLED, "cancelled", "it did not stop when it was asked to; its process was ended")
STOPPED = Failure(AttemptOutcome.CANCELLED, "cancelled", "it stopped when it was asked to")
DEADLINE_EXCEEDED = Failure(AttemptOutcome.PERMANENT, "deadline_exceeded", "the job had not ended by its deadline")


def timed_out(timeout_ms: int) -> Failure:
    """Return the failure of an attempt that ran past its limit in milliseconds."""
    return Failure(AttemptOutcome.TIMEOUT, "timeout", f"the attempt ran longer than its limit of {timeout_ms / 1000:g} s")


def loop_blocked(limit_s: float) -> Failure:
    """Return the failure of an attempt that held up the event loop of its process for longer than so many seconds."""
    return Failure(AttemptOutcome.TIMEOUT, "loop_blocked", f"the event loop of its process stood still for longer than {limit_s:g} s; the process was ended")


def decide(job: ClaimedJob, failure: Failure, policy: RetryPolicy, jitter: float, max_crashes: int = MAX_CRASHES) -> Decision:
    """Return what to write for an attempt that gave no result. `jitter` is uniform in [0, 1); `max_crashes`: lost attempts that end a job."""
    if job.is_past_deadline:
        return Fail(replace(DEADLINE_EXCEEDED, usage=failure.usage))
    match failure.outcome:
        case AttemptOutcome.RELEASED:
            return Release(failure)
        case AttemptOutcome.PERMANENT | AttemptOutcome.CANCELLED:
            return Fail(failure)
        case AttemptOutcome.ERROR | AttemptOutcome.TIMEOUT | AttemptOutcome.LOST:
            if job.charged >= job.max_attempts or (failure.outcome is AttemptOutcome.LOST and job.crashes + 1 >= max_crashes):
                return Fail(failure)
            backoff = policy.delay_s if job.extras is None else policy.for_job(job.extras).delay_s
            delay_s = backoff(job.charged, jitter) if failure.retry_after_s is None else min(failure.retry_after_s, MAX_RETRY_AFTER_S)
            return Retry(failure, delay_s)
        case _:
            assert_never(failure.outcome)

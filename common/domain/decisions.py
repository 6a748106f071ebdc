"""The decision after an attempt without a result: fail, retry or release. Pure: jitter is an argument."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from common.domain.job import ClaimedJob
from common.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """Resources that an attempt used; None: not measured."""

    execution_s: float | None = None  #: seconds in the operation
    cpu_s: float | None = None  #: CPU seconds of its process during the attempt
    peak_mib: float | None = None  #: peak memory of its process in MiB


UNMEASURED = AttemptUsage()


class AttemptOutcome(StrEnum):
    """The end of an attempt without a result. Names are stored."""

    ERROR = "error"  #: the operation raised
    PERMANENT = "permanent"  #: the operation raised an exception that its registration calls permanent
    TIMEOUT = "timeout"  #: it ran past the job's time limit; its parent killed the process
    LOST = "lost"  #: its process crashed, or its lease ended
    CANCELLED = "cancelled"  #: its client asked it to stop, and it did or its parent killed the process
    RELEASED = "released"  #: returned to its queue unfinished; not charged


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a result."""

    outcome: AttemptOutcome
    error_type: str  #: a code such as `timeout`, or the class of the exception
    error_text: str  #: for people; truncated to JOBPROC_MAX_ERROR_CHARACTERS
    retry_after_s: float | None = None  #: delay that the operation asked for; None: the backoff decides
    usage: AttemptUsage = UNMEASURED
    #: truncated to JOBPROC_MAX_TRACEBACK_CHARACTERS; None: no code of the operation raised. Failures may differ in it
    traceback: str | None = field(default=None, compare=False)


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
    """The job returns to its queue. The attempt is not charged."""

    failure: Failure
    isolated: bool = False  #: the job may have crashed its process, so from now on it runs alone
    delay_s: float = 0.0  #: until it may run again


Decision = Fail | Retry | Release
MAX_RETRY_AFTER_S = 86_400.0
MAX_CRASHES = 3

WORKER_LOST = Failure(AttemptOutcome.LOST, "worker_lost", "the worker process crashed or its lease ended")
RELEASED = Failure(AttemptOutcome.RELEASED, "released", "released before it had ended")
CANCELLED = Failure(
    AttemptOutcome.CANCELLED, "cancelled", "the attempt did not stop when it was asked to; its process was killed"
)
EXIT_IGNORED = Failure(
    AttemptOutcome.TIMEOUT,
    "exit_ignored",
    "the attempt did not stop after SystemExit or KeyboardInterrupt in one of its tasks; its process was killed",
)
STOPPED = Failure(AttemptOutcome.CANCELLED, "cancelled", "the attempt stopped when it was asked to")
DEADLINE_EXCEEDED = Failure(AttemptOutcome.PERMANENT, "deadline_exceeded", "the job had not ended by its deadline")


def worker_lost(how: str) -> Failure:
    """Return the failure of an attempt whose process ended by itself, as its parent saw it."""
    return replace(WORKER_LOST, error_text=f"the worker process {how}")


def timed_out(timeout_ms: int) -> Failure:
    """Return the failure of an attempt that ran past its time limit."""
    return Failure(
        AttemptOutcome.TIMEOUT, "timeout", f"the attempt ran longer than its limit of {timeout_ms / 1000:g} s"
    )


def loop_blocked(limit_s: float) -> Failure:
    """Return the failure of an attempt that blocked the event loop of its process for longer than the limit."""
    return Failure(
        AttemptOutcome.TIMEOUT,
        "loop_blocked",
        f"the event loop of its process was blocked for longer than {limit_s:g} s; the process was killed",
    )


def decide(
    job: ClaimedJob, failure: Failure, policy: RetryPolicy, jitter: float, max_crashes: int = MAX_CRASHES
) -> Decision:
    """Return the decision about an attempt without a result.

    `jitter` is uniform in [0, 1). A job fails at its `max_crashes`-th crash, or once `max_attempts` are charged.
    """
    if job.is_past_deadline:
        return Fail(replace(DEADLINE_EXCEEDED, usage=failure.usage, traceback=failure.traceback))
    match failure.outcome:
        case AttemptOutcome.RELEASED:
            return Release(failure, delay_s=min(failure.retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        case AttemptOutcome.PERMANENT | AttemptOutcome.CANCELLED:
            return Fail(failure)
        case AttemptOutcome.ERROR | AttemptOutcome.TIMEOUT | AttemptOutcome.LOST:
            if job.charged >= job.max_attempts or (
                failure.outcome is AttemptOutcome.LOST and job.crashes + 1 >= max_crashes
            ):
                return Fail(failure)
            backoff = policy.delay_s if job.extras is None else policy.for_job(job.extras).delay_s
            delay_s = (
                backoff(job.charged, jitter)
                if failure.retry_after_s is None
                else min(failure.retry_after_s, MAX_RETRY_AFTER_S)
            )
            return Retry(failure, delay_s)
        case _:
            assert_never(failure.outcome)

"""The policies of a schedule, and what became of its instants. Names are on the wire and stored."""

from dataclasses import dataclass
from enum import StrEnum


class Overlap(StrEnum):
    """The policy for an instant while the last job of its schedule has not ended."""

    ALLOW = "allow"  #: its job is submitted all the same
    SKIP = "skip"  #: it gets no job
    QUEUE = "queue"  #: one instant waits until that job has ended; those that come meanwhile get no job
    CANCEL_OLD = "cancel_old"  #: that job is cancelled, or asked to stop if it runs, and the new one is submitted


class CatchUpPolicy(StrEnum):
    """The policy for instants to which the controller comes late."""

    NONE = "none"
    LAST = "last"  #: the newest one
    ALL = "all"  #: the newest ones, up to a number


@dataclass(frozen=True, slots=True)
class CatchUp:
    """The late instants that still get a job."""

    policy: CatchUpPolicy = CatchUpPolicy.LAST
    within_s: float = 3_600.0  #: an instant that is later than this gets none
    max_runs: int = 100  #: of the policy `all`

    @property
    def runs(self) -> int:
        """The largest number of late instants that get a job."""
        return {CatchUpPolicy.NONE: 0, CatchUpPolicy.LAST: 1, CatchUpPolicy.ALL: self.max_runs}[self.policy]


class FireOutcome(StrEnum):
    """The outcome of an instant."""

    FIRED = "fired"  #: its job was submitted
    SKIPPED = "skipped"  #: its overlap policy gave it no job
    MISSED = "missed"  #: it was late, and its catch-up policy gave it no job
    REFUSED = "refused"  #: its job could not be submitted


class FireReason(StrEnum):
    """The reason for which an instant was refused, or fired out of turn."""

    UNKNOWN_OPERATION = "unknown_operation"  #: no worker knows its operation any more, or none does yet
    QUEUE_NOT_ALLOWED = "queue_not_allowed"  #: its operation no longer allows its queue
    TENANT = "tenant"  #: its tenant is suspended, draining or being removed
    QUOTA = "quota"  #: its tenant has as many waiting jobs as its quota allows
    TIMING = "timing"  #: its instants cannot be computed here, such as for a time zone that the machine does not know
    JOB = "job"  #: PostgreSQL refuses its job
    REQUESTED = "requested"  #: somebody asked for a run now

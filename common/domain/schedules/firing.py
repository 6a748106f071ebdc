"""The decision about the instants of a schedule that are due: which get a job, and when the next one is due."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from common.domain.schedules.policies import CatchUp, FireOutcome, FireReason, Overlap
from common.domain.schedules.timing import Timing

MAX_INSTANTS = 10_000  # of one schedule, in one decision; more than the most runs of a catch-up
POSTPONED = timedelta(minutes=1)  # to the next try of a schedule that cannot be decided
PENDING_POLL = timedelta(seconds=1)  # so often a waiting instant asks if the last job has ended


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule of which an instant is due."""

    id: UUID
    timing: Timing
    overlap: Overlap
    catch_up: CatchUp
    next_at: datetime | None  #: the first instant that is not decided; None: there are no more
    pending_at: datetime | None  #: an instant that waits for the end of the last job
    last_job: UUID | None
    is_last_job_unfinished: bool
    refusal: FireReason | None = None  #: why its jobs cannot be submitted; None: they can


@dataclass(frozen=True, slots=True)
class Fire:
    """The outcome of an instant, or of several that were missed one after the other."""

    at: datetime
    outcome: FireOutcome
    reason: FireReason | None = None
    job: UUID | None = None  #: of FIRED
    through: datetime | None = None  #: of MISSED: the last one of several


@dataclass(slots=True)
class Decision:
    """The changes that are to be written about a schedule."""

    next_at: datetime | None
    due_at: datetime | None  #: when to look at the schedule again; None: never
    pending_at: datetime | None
    last_job: UUID | None
    last_at: datetime | None = None  #: the last instant that is decided; None: none was
    fires: list[Fire] = field(default_factory=list)
    cancelled: UUID | None = None  #: the job that is to end


@dataclass(frozen=True, slots=True)
class _Due:
    """The instants that are due, after the catch-up policy."""

    kept: list[datetime]
    missed: list[Fire]
    decided: datetime | None  #: the last one
    following: datetime | None  #: the first one that is not decided


def decide(schedule: DueSchedule, now: datetime, grace_s: float, new_job_id: Callable[[], UUID]) -> Decision:
    """Decide on the instants of a schedule that are due.

    `grace_s`: an instant that is later than this is late, and its catch-up policy decides. At most MAX_INSTANTS are
    decided: then the schedule is still due.
    """
    due = _due(schedule, now, grace_s)
    decision = Decision(due.following, None, schedule.pending_at, schedule.last_job, due.decided)
    decision.fires += due.missed
    unfinished = schedule.is_last_job_unfinished
    if decision.pending_at is not None and not unfinished:
        _fire(schedule, decision, decision.pending_at, new_job_id)
        unfinished = schedule.refusal is None
        decision.pending_at = None
    for index, at in enumerate(due.kept):
        is_newest = index == len(due.kept) - 1
        if schedule.overlap is Overlap.ALLOW or not unfinished:
            if schedule.overlap is Overlap.CANCEL_OLD and not is_newest:
                decision.fires.append(Fire(at, FireOutcome.SKIPPED))  # the newest one would cancel its job at once
                continue
            _fire(schedule, decision, at, new_job_id)
            unfinished = schedule.refusal is None
        elif schedule.overlap is Overlap.CANCEL_OLD and is_newest:
            decision.cancelled = None if schedule.refusal else schedule.last_job
            _fire(schedule, decision, at, new_job_id)
        elif schedule.overlap is Overlap.QUEUE and decision.pending_at is None:
            decision.pending_at = at
        else:
            decision.fires.append(Fire(at, FireOutcome.SKIPPED))
    decision.due_at = _due_at(schedule, decision, now)
    return decision


def postpone(next_at: datetime | None, pending_at: datetime | None, last_job: UUID | None, now: datetime) -> Decision:
    """Return the decision about a schedule whose instants cannot be computed: it gets no job, and is tried again."""
    decision = Decision(next_at, now + POSTPONED, pending_at, last_job)
    if next_at is not None:
        decision.fires.append(Fire(next_at, FireOutcome.REFUSED, FireReason.TIMING))
    return decision


def _fire(schedule: DueSchedule, decision: Decision, at: datetime, new_job_id: Callable[[], UUID]) -> None:
    if schedule.refusal is not None:
        decision.fires.append(Fire(at, FireOutcome.REFUSED, schedule.refusal))
        return
    decision.last_job = new_job_id()
    decision.fires.append(Fire(at, FireOutcome.FIRED, job=decision.last_job))


def _due_at(schedule: DueSchedule, decision: Decision, now: datetime) -> datetime | None:
    times = []
    if decision.next_at is not None:
        times.append(schedule.timing.due_at(schedule.id, decision.next_at))
    if decision.pending_at is not None:
        times.append(now + PENDING_POLL)
    return min(times, default=None)


def _due(schedule: DueSchedule, now: datetime, grace_s: float) -> _Due:
    instants, following = _due_instants(schedule, now)
    timing, catch_up = schedule.timing, schedule.catch_up
    is_cut = following is not None and timing.due_at(schedule.id, following) <= now
    first_of_newest = len(instants) - catch_up.runs
    kept, missed, decided = [], _MissedRuns(), None
    for index, at in enumerate(instants):
        late_s = (now - timing.due_at(schedule.id, at)).total_seconds()
        if late_s <= grace_s:
            kept.append(at)
        elif index < first_of_newest or late_s > catch_up.within_s:
            missed.add(at, is_adjacent=not kept)
        elif is_cut:  # later ones may be newer than it
            return _Due(kept, missed.fires(), decided, at)
        else:
            kept.append(at)
        decided = at
    return _Due(kept, missed.fires(), decided, following)


def _due_instants(schedule: DueSchedule, now: datetime) -> tuple[list[datetime], datetime | None]:
    """Return the instants that are due, MAX_INSTANTS at most, and the one that follows them."""
    if schedule.next_at is None or schedule.timing.due_at(schedule.id, schedule.next_at) > now:
        return [], schedule.next_at
    instants = [schedule.next_at]
    for at in schedule.timing.after(schedule.next_at):
        if len(instants) == MAX_INSTANTS or schedule.timing.due_at(schedule.id, at) > now:
            return instants, at
        instants.append(at)
    return instants, None


class _MissedRuns:
    """Missed instants, as one fire for those that follow each other."""

    def __init__(self) -> None:
        self._runs: list[tuple[datetime, datetime]] = []

    def add(self, at: datetime, *, is_adjacent: bool) -> None:
        """Add an instant. `is_adjacent`: none that got a job is between it and the one before."""
        if self._runs and is_adjacent:
            self._runs[-1] = (self._runs[-1][0], at)
        else:
            self._runs.append((at, at))

    def fires(self) -> list[Fire]:
        """Return a fire for each run."""
        return [Fire(first, FireOutcome.MISSED, through=None if first == last else last) for first, last in self._runs]

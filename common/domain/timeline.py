"""The history of a job: its states in order and its times by cause; pure, from its stored runs and attempts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.domain.states import State


@dataclass(frozen=True, slots=True)
class StateChange:
    """The time at which a job entered a state."""

    at: datetime
    status: State
    run: int
    attempt: int | None = None  #: the attempt that began or ended with the change
    worker: int | None = None
    error_type: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that did not end its run, as two changes of state."""

    started: StateChange  #: to IN_PROGRESS
    ended: StateChange  #: to PENDING or RETRYING, with the error
    due_at: datetime  #: from when the job could be claimed again


@dataclass(frozen=True, slots=True)
class Run:
    """A job from its submission, or from a manual retry, to its end."""

    number: int
    at: datetime  #: time of the submission or of the manual retry
    due_at: datetime | None  #: earliest claim; None: at once
    past_attempts: Sequence[PastAttempt]
    last_attempt: StateChange | None = None  #: to IN_PROGRESS: the attempt that runs now, or that ended the run
    end: StateChange | None = None  #: None: not finished
    has_parents: bool = False  #: it begins BLOCKED
    unblocked_at: datetime | None = None  #: None: it has not been unblocked, or it is unknown when


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """The times of an attempt that has ended."""

    run: int
    started_at: datetime
    finished_at: datetime
    due_at: datetime | None  #: from when the job could be claimed again; None: the attempt ended its run


@dataclass(slots=True)
class WaitTimes:
    """Seconds that a job has spent, by cause."""

    scheduled_seconds: float = 0.0  #: until the start time that its client chose
    queued_seconds: float = 0.0  #: due, until a worker process claimed it
    paused_seconds: float = 0.0  #: in the backoff between two attempts
    running_seconds: float = 0.0  #: claimed by a worker process, its wait within a batch included


def timeline(runs: Sequence[Run], now: datetime) -> list[StateChange]:
    """Return every state in order.

    The change from SCHEDULED or RETRYING to PENDING is not stored. It is inferred from the due time if that precedes
    the next event, or `now` if there is none.
    """
    return [change for run in runs for change in _changes_of_run(run, now)]


def _changes_of_run(run: Run, now: datetime) -> Iterator[StateChange]:
    last = run.last_attempt or run.end
    starts = [*(attempt.started.at for attempt in run.past_attempts), now if last is None else last.at]
    if run.has_parents:
        yield StateChange(run.at, State.BLOCKED, run.number)
        if run.unblocked_at is not None and run.unblocked_at <= starts[0]:
            yield StateChange(max(run.at, run.unblocked_at), State.PENDING, run.number)
    else:
        yield from _waiting_states(StateChange(run.at, State.SCHEDULED, run.number), run.due_at, starts[0])
    for attempt, next_start in zip(run.past_attempts, starts[1:], strict=True):
        yield attempt.started
        yield from _waiting_states(attempt.ended, attempt.due_at, next_start)
    if run.last_attempt is not None:
        yield run.last_attempt
    if run.end is not None:
        yield run.end


def _waiting_states(change: StateChange, due_at: datetime | None, until: datetime) -> Iterator[StateChange]:
    """Yield the state in which a job waits until it is due, and PENDING from then on."""
    if due_at is None or due_at <= change.at:
        yield replace(change, status=State.PENDING)
        return
    yield change
    if due_at <= until:
        yield StateChange(due_at, State.PENDING, change.run)


def wait_times(
    starts: Mapping[int, tuple[datetime, datetime]],
    attempts: Iterable[AttemptTimes],
    until: datetime,
    running_since: datetime | None = None,
) -> WaitTimes:
    """Return the seconds that a job has spent, by cause, all runs together.

    `starts` maps the number of a run to its submission or manual retry and to its due time. `attempts` are in order.
    `until` is the end of the job, or now. `running_since` is None if no attempt runs. A database clock that was set
    back yields 0, never a negative time.
    """
    times = WaitTimes()
    due = {run: due_at for run, (_, due_at) in starts.items()}
    for submitted_at, due_at in starts.values():
        times.scheduled_seconds += _seconds(submitted_at, min(due_at, until))
    last_run = max(starts, default=0)
    ended_runs: set[int] = set()
    for attempt in attempts:
        times.queued_seconds += _seconds(due.get(attempt.run, attempt.started_at), attempt.started_at)
        times.running_seconds += _seconds(attempt.started_at, attempt.finished_at)
        if attempt.due_at is None:
            ended_runs.add(attempt.run)
            continue
        times.paused_seconds += _seconds(attempt.finished_at, min(attempt.due_at, until))
        due[attempt.run] = attempt.due_at
    if running_since is not None:
        times.queued_seconds += _seconds(due.get(last_run, running_since), running_since)
        times.running_seconds += _seconds(running_since, until)
    elif last_run not in ended_runs:
        times.queued_seconds += _seconds(due.get(last_run, until), until)
    return times


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())

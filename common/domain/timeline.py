"""The history of a job: its states, first to last, and how long it waited for what; pure, from what is stored of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.domain.states import State


@dataclass(frozen=True, slots=True)
class StateChange:
    """A state that a job came to."""

    at: datetime
    status: State
    epoch: int
    attempt: int | None = None  #: that began with it, or ended with it
    worker: int | None = None
    error_type: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that did not end its job."""

    started: StateChange  #: IN_PROGRESS
    ended: StateChange  #: PENDING or RETRYING, with the error
    due_at: datetime  #: when the job could be claimed again


@dataclass(frozen=True, slots=True)
class Run:
    """A job from its submission, or from an explicit retry, to its end."""

    number: int
    at: datetime
    due_at: datetime | None  #: not claimed before; None: at once
    past_attempts: Sequence[PastAttempt]
    last_attempt: StateChange | None = None  #: the attempt that runs, or that ended it
    end: StateChange | None = None  #: None: it is not finished


def timeline(runs: Sequence[Run], now: datetime) -> list[StateChange]:
    """Return every state, first to last. That a wait is over is written nowhere: it is when its time came before what followed."""
    return [passage for epoch in runs for passage in _of_run(epoch, now)]


def _of_run(run: Run, now: datetime) -> Iterator[StateChange]:
    last = run.last_attempt or run.end
    starts = [*(one.started.at for one in run.past_attempts), now if last is None else last.at]
    yield from _waiting_states(StateChange(run.at, State.SCHEDULED, run.number), run.due_at, starts[0])
    for one, following in zip(run.past_attempts, starts[1:], strict=True):
        yield one.started
        yield from _waiting_states(one.ended, one.due_at, following)
    if run.last_attempt is not None:
        yield run.last_attempt
    if run.end is not None:
        yield run.end


def _waiting_states(waits: StateChange, due: datetime | None, following: datetime) -> Iterator[StateChange]:
    """Yield the state that a job waits in until it is due, and PENDING from then on."""
    if due is None or due <= waits.at:
        yield replace(waits, status=State.PENDING)
        return
    yield waits
    if due <= following:
        yield StateChange(due, State.PENDING, waits.epoch)


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """An attempt."""

    epoch: int
    started_at: datetime
    ended_at: datetime
    retry_at: datetime | None  #: when the next one could begin; None: it was the last of its epoch


@dataclass(slots=True)
class WaitTimes:
    """Seconds, by cause."""

    scheduled_s: float = 0.0  #: until the time that its client chose
    queued_s: float = 0.0  #: due, until a worker took it
    paused_s: float = 0.0  #: between two attempts
    running_s: float = 0.0  #: in the hands of a worker, its place in a batch included


def wait_times(
    starts: Mapping[int, tuple[datetime, datetime]], ran: Iterable[AttemptTimes], until: datetime, running_since: datetime | None = None
) -> WaitTimes:
    """Return what a job has waited for.

    `starts`: by epoch, when it was submitted or retried and from when it could run; `ran`: first to last; `until`: when it ended, or now;
    `running_since`: None when no attempt is under way. Clocks of a database that was set back make no negative times.
    """
    found = WaitTimes()
    due = {epoch: from_ for epoch, (_, from_) in starts.items()}
    for came, from_ in starts.values():
        found.scheduled_s += _seconds(came, min(from_, until))
    last = max(starts, default=0)
    ended: set[int] = set()
    for one in ran:
        found.queued_s += _seconds(due.get(one.epoch, one.started_at), one.started_at)
        found.running_s += _seconds(one.started_at, one.ended_at)
        if one.retry_at is None:
            ended.add(one.epoch)
            continue
        found.paused_s += _seconds(one.ended_at, min(one.retry_at, until))
        due[one.epoch] = one.retry_at
    if running_since is not None:
        found.queued_s += _seconds(due.get(last, running_since), running_since)
        found.running_s += _seconds(running_since, until)
    elif last not in ended:
        found.queued_s += _seconds(due.get(last, until), until)
    return found


def _seconds(since: datetime, until: datetime) -> float:
    return max(0.0, (until - since).total_seconds())

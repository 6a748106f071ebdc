"""The history of a job: its states, first to last, and how long it waited for what; pure, from what is stored of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.domain.states import State


@dataclass(frozen=True, slots=True)
class Passage:
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

    began: Passage  #: IN_PROGRESS
    ended: Passage  #: PENDING or RETRYING, with the error
    due: datetime  #: when the job could be claimed again


@dataclass(frozen=True, slots=True)
class Epoch:
    """A job from its submission, or from an explicit retry, to its end."""

    number: int
    at: datetime
    due: datetime | None  #: not claimed before; None: at once
    ran: Sequence[PastAttempt]
    running: Passage | None = None  #: the attempt that runs, or that ended it
    end: Passage | None = None  #: None: it is not finished


def timeline(epochs: Sequence[Epoch], now: datetime) -> list[Passage]:
    """Return every state, first to last. That a wait is over is written nowhere: it is when its time came before what followed."""
    return [passage for epoch in epochs for passage in _of(epoch, now)]


def _of(epoch: Epoch, now: datetime) -> Iterator[Passage]:
    last = epoch.running or epoch.end
    starts = [*(one.began.at for one in epoch.ran), now if last is None else last.at]
    yield from _wait(Passage(epoch.at, State.SCHEDULED, epoch.number), epoch.due, starts[0])
    for one, following in zip(epoch.ran, starts[1:], strict=True):
        yield one.began
        yield from _wait(one.ended, one.due, following)
    if epoch.running is not None:
        yield epoch.running
    if epoch.end is not None:
        yield epoch.end


def _wait(waits: Passage, due: datetime | None, following: datetime) -> Iterator[Passage]:
    """Yield the state that a job waits in until it is due, and PENDING from then on."""
    if due is None or due <= waits.at:
        yield replace(waits, status=State.PENDING)
        return
    yield waits
    if due <= following:
        yield Passage(due, State.PENDING, waits.epoch)


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

"""What a job has been through: its states, first to last, from what is stored of it."""

from collections.abc import Iterator, Sequence
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
class Ran:
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
    ran: Sequence[Ran]
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

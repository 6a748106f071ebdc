"""How long a job has waited, and for what; pure, from when its attempts could begin, began and ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Ran:
    """An attempt."""

    epoch: int
    started_at: datetime
    ended_at: datetime
    retry_at: datetime | None  #: when the next one could begin; None: it was the last of its epoch


@dataclass(slots=True)
class Waits:
    """Seconds, by cause."""

    scheduled_s: float = 0.0  #: until the time that its client chose
    queued_s: float = 0.0  #: due, until a worker took it
    paused_s: float = 0.0  #: between two attempts
    running_s: float = 0.0  #: in the hands of a worker, its place in a batch included


def waits(starts: Mapping[int, tuple[datetime, datetime]], ran: Iterable[Ran], until: datetime, running_since: datetime | None = None) -> Waits:
    """Return what a job has waited for.

    `starts`: by epoch, when it was submitted or retried and from when it could run; `ran`: first to last; `until`: when it ended, or now;
    `running_since`: None when no attempt is under way. Clocks of a database that was set back make no negative times.
    """
    found = Waits()
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

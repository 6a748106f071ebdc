"""The instants of a schedule: by a cron expression, at an interval, or a single one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from common.domain.schedules import cron

NEXT_RUNS = 5  #: shown in advance
_INSTANT = timedelta(microseconds=1)
_LAST = datetime(9_950, 1, 1, tzinfo=UTC)  # arithmetic beyond it would overflow


@dataclass(frozen=True, slots=True)
class Timing:
    """The instants of a schedule. It has either `cron`, `every_s` or `at`."""

    anchor: datetime  #: intervals are counted from here
    cron: str | None = None
    every_s: float | None = None  #: seconds, in steps of a microsecond
    at: datetime | None = None  #: the only instant
    zone: str = "UTC"  #: of the cron expression
    starts_at: datetime | None = None  #: no instant is before it
    ends_at: datetime | None = None  #: no instant is after it
    jitter_s: float = 0.0  #: largest delay of an instant

    def after(self, instant: datetime) -> Iterator[datetime]:
        """Yield the instants after an instant, in order and in UTC."""
        if self.starts_at is not None and self.starts_at > instant:
            instant = self.starts_at - _INSTANT
        end = min(self.ends_at or _LAST, _LAST)
        for at in self._unbounded(instant):
            if at > end:
                return
            yield at

    def first_after(self, instant: datetime) -> datetime | None:
        """Return the first instant after an instant; None: there is none."""
        return next(self.after(instant), None)

    def next_runs(self, next_at: datetime | None) -> list[datetime]:
        """Return the next instants, from `next_at` on, without their jitter."""
        return [] if next_at is None else [next_at, *islice(self.after(next_at), NEXT_RUNS - 1)]

    def due_at(self, schedule: UUID, at: datetime) -> datetime:
        """Return when an instant is due: with its jitter, which is the same whenever it is computed."""
        if not self.jitter_s:
            return at
        digest = hashlib.blake2b(schedule.bytes + at.isoformat().encode(), digest_size=6).digest()
        return at + timedelta(seconds=self.jitter_s * int.from_bytes(digest) / (1 << 48))

    def _unbounded(self, instant: datetime) -> Iterator[datetime]:
        if self.cron is not None:
            yield from cron.parse(self.cron).after(instant, cron.zone_of(self.zone))
        elif self.every_s is not None:
            every = timedelta(seconds=self.every_s)
            number = (instant - self.anchor) // every + 1
            while True:
                yield self.anchor + number * every
                number += 1
        elif self.at is not None and self.at > instant:
            yield self.at

"""What a client looks for among the jobs: filters, order, and the place where a page begins."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from common.domain.job import first_job_id
from common.domain.states import TERMINAL, State

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)
UNSUCCESSFUL = TERMINAL - {State.SUCCESS}
_TIMES = {"created_after", "created_before", "finished_after", "finished_before", "as_of"}


class Order(StrEnum):
    """By which time jobs are listed. Names are on the wire."""

    CREATED = "created"  #: that of its id
    FINISHED = "finished"  #: that of its newest outcome


class ScanIndex(StrEnum):
    """Which index is walked."""

    JOBS = "jobs"  #: every job, by id
    LIVE = "live"  #: what is not finished, by id
    UNSUCCESSFUL = "unsuccessful"  #: what failed or was cancelled, by id
    TAGGED = "tagged"  #: what has a tag, by id
    FINISHED = "finished"  #: what failed or was cancelled, by the time of its end


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A place in the order: that of a job."""

    job_id: UUID
    finished_at: datetime | None = None  #: in the order of ends

    def ids_beyond(self, first: UUID, last: UUID, *, descending: bool) -> tuple[UUID, UUID]:
        """Return what of a span of ids lies beyond it; the first id is after the last one where nothing does."""
        if descending:
            return first, min(last, UUID(int=max(0, self.job_id.int - 1)))
        return max(first, UUID(int=min(LAST_ID.int, self.job_id.int + 1))), last


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Filters and order. None: no such filter. A time's `after` is part of the span, its `before` is not."""

    statuses: frozenset[State] = frozenset()  #: empty: any
    operation: str | None = None
    queue: str | None = None
    tag: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    error: str | None = None  #: part of its type or text, whatever the case of its letters
    as_of: datetime | None = None  #: only what had come by then, by the database's clock
    order: Order = Order.CREATED
    descending: bool = True

    @property
    def filters(self) -> frozenset[str]:
        """The names of what is filtered, but for the time of creation, which every table knows by the id."""
        named = ("statuses", "operation", "queue", "tag", "finished_after", "finished_before", "error")
        return frozenset(name for name in named if getattr(self, name))

    @property
    def finished_only(self) -> bool:
        """Whether only finished jobs are looked for."""
        return bool(self.statuses) and self.statuses <= TERMINAL

    @property
    def index(self) -> ScanIndex:
        """The index with the least that does not fit."""
        if self.order is Order.FINISHED:
            return ScanIndex.FINISHED
        if self.tag is not None:
            return ScanIndex.TAGGED
        if self.statuses and not self.statuses & TERMINAL:
            return ScanIndex.LIVE
        return ScanIndex.UNSUCCESSFUL if self.statuses and self.statuses <= UNSUCCESSFUL else ScanIndex.JOBS

    def to_json(self) -> str:
        """Return its filters as JSON, to be stored."""
        said = {name: value for name, value in asdict(self).items() if value is not None and name not in {"order", "descending"}}
        return json.dumps(said | {"statuses": sorted(self.statuses)}, default=datetime.isoformat)

    @staticmethod
    def from_json(text: str) -> "JobSearch":
        """Return a search with stored filters, in the order of ids, oldest first."""
        said = json.loads(text)
        times = {name: datetime.fromisoformat(said[name]) for name in _TIMES & said.keys()}
        return JobSearch(**said | times | {"statuses": frozenset(map(State, said["statuses"])), "descending": False})

    def id_range(self, skew_s: float) -> tuple[UUID, UUID]:
        """Return the first and the last id that may be found; a job's id is at most `skew_s` ahead of the time of its end."""
        first, after = FIRST_ID, LAST_ID.int
        if self.created_after is not None:
            first = first_job_id(_unix_ms(self.created_after))
        if self.created_before is not None:
            after = first_job_id(_unix_ms(self.created_before)).int
        for until in (self.finished_before, self.as_of):
            if until is not None:
                after = min(after, first_job_id(_unix_ms(until) + round(skew_s * 1000)).int)
        return first, UUID(int=max(0, after - (after != LAST_ID.int)))


def _unix_ms(instant: datetime) -> int:
    """Return the first whole millisecond that is not before a time."""
    return max(0, -int(-instant.timestamp() * 1000 // 1))

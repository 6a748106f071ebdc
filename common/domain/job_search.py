"""A search among the jobs: filters, order, the index that serves it, and the position where a page begins."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from common.domain.batches import batch_job_id, last_job_id
from common.domain.job import first_job_id
from common.domain.states import TERMINAL, State

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=(1 << 128) - 1)
UNSUCCESSFUL = TERMINAL - {State.SUCCESS}
_TIMES = {"created_after", "created_before", "finished_after", "finished_before", "as_of"}


class Order(StrEnum):
    """The time by which jobs are listed. Names are on the wire."""

    CREATED = "created"  #: time in the job's id
    FINISHED = "finished"  #: time of its newest outcome


class ScanIndex(StrEnum):
    """The index that a list scans."""

    JOBS = "jobs"  #: every job, by id
    LIVE = "live"  #: unfinished jobs, by id
    UNSUCCESSFUL = "unsuccessful"  #: FAILED and CANCELLED jobs, by id
    TAGGED = "tagged"  #: jobs with a tag, by id
    FINISHED = "finished"  #: FAILED and CANCELLED jobs, by the time of their end


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A position in a list: that of a job. Keyset pagination continues behind it."""

    job_id: UUID
    finished_at: datetime | None = None  #: set in lists by the time of the end

    def ids_beyond(self, first: UUID, last: UUID, *, descending: bool) -> tuple[UUID, UUID]:
        """Return the part of a range of ids behind this position. If it is empty, its first id is above its last."""
        if descending:
            return first, min(last, UUID(int=max(0, self.job_id.int - 1)))
        return max(first, UUID(int=min(LAST_ID.int, self.job_id.int + 1))), last


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Filters and order. None: no such filter. An `after` is inclusive, a `before` exclusive."""

    statuses: frozenset[State] = frozenset()  #: empty: any state
    operation: str | None = None
    queue: str | None = None
    tag: str | None = None
    batch: UUID | None = None  #: the jobs of this batch, by their ids
    id_suffix: str | None = None  #: the end of the id, in lower case
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    error: str | None = None  #: substring of the error's type or text, ignoring case
    error_group: str | None = None  #: the id of the group of FAILED jobs
    input: tuple[str, ...] = ()  #: `path=value` of the input, see `common.store.listing.contents`
    metadata: tuple[str, ...] = ()  #: `path=value` of the metadata
    as_of: datetime | None = None  #: only jobs that were submitted by then, by the database's clock
    order: Order = Order.CREATED
    descending: bool = True

    @property
    def filters(self) -> frozenset[str]:
        """The names of the filters that are set, without the time of creation, which every table has in its id."""
        named = (
            *("statuses", "operation", "queue", "tag", "finished_after", "finished_before", "error", "id_suffix"),
            *("error_group", "input", "metadata"),
        )
        return frozenset(name for name in named if getattr(self, name))

    @property
    def finished_only(self) -> bool:
        """True if only finished jobs can match."""
        return bool(self.statuses) and self.statuses <= TERMINAL

    @property
    def index(self) -> ScanIndex:
        """The index with the fewest entries that do not match."""
        if self.order is Order.FINISHED:
            return ScanIndex.FINISHED
        if self.tag is not None:
            return ScanIndex.TAGGED
        if self.statuses and not self.statuses & TERMINAL:
            return ScanIndex.LIVE
        return ScanIndex.UNSUCCESSFUL if self.statuses and self.statuses <= UNSUCCESSFUL else ScanIndex.JOBS

    def to_json(self) -> str:
        """Return the filters as JSON, to be stored."""
        filters = {
            name: value
            for name, value in asdict(self).items()
            if value is not None and value != () and name not in {"order", "descending"}
        }
        return json.dumps(filters | {"statuses": sorted(self.statuses)}, default=_text)

    @staticmethod
    def from_json(text: str) -> "JobSearch":
        """Return a search with stored filters, by id, oldest first."""
        filters = json.loads(text)
        times = {name: datetime.fromisoformat(filters[name]) for name in _TIMES & filters.keys()}
        statuses = frozenset(map(State, filters["statuses"]))
        if "batch" in filters:
            filters["batch"] = UUID(filters["batch"])
        filters |= {name: tuple(filters[name]) for name in ("input", "metadata") if name in filters}
        return JobSearch(**filters | times | {"statuses": statuses, "descending": False})

    def id_range(self, skew_s: float) -> tuple[UUID, UUID]:
        """Return the lowest and the highest id that can match.

        The time in a job's id may be ahead of the database's clock by up to `skew_s` seconds.
        """
        first, end = FIRST_ID, LAST_ID.int
        if self.created_after is not None:
            first = first_job_id(_unix_ms(self.created_after))
        if self.created_before is not None:
            end = first_job_id(_unix_ms(self.created_before)).int
        for until in (self.finished_before, self.as_of):
            if until is not None:
                end = min(end, first_job_id(_unix_ms(until) + round(skew_s * 1000)).int)
        last = UUID(int=max(0, end - (end != LAST_ID.int)))
        if self.batch is not None:
            first, last = max(first, batch_job_id(self.batch, 1)), min(last, last_job_id(self.batch))
        return first, last


def _text(value: datetime | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def first_id_from(instant: datetime | None) -> UUID | None:
    """Return the lowest id of a time, rounded up to milliseconds; None without one."""
    return None if instant is None else first_job_id(_unix_ms(instant))


def _unix_ms(instant: datetime) -> int:
    """Return a time in Unix milliseconds, rounded up."""
    return max(0, -int(-instant.timestamp() * 1000 // 1))

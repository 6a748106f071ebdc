"""What a run leaves to be checked: the calls, the tables, the effects, when what was away."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rig.system import Database

from faults.history import Call, Sent


@dataclass(frozen=True, slots=True)
class Stored:
    """A row of `jobs`."""

    sent: Sent
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a job's client chose, by the database's clock; and from when each of its epochs was there."""

    came_at: Mapping[int, datetime]  #: by epoch
    run_at: datetime | None = None
    deadline: datetime | None = None
    unique_key: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """A row of `outcomes`."""

    status: str
    attempt: int
    released: int
    started_at: datetime | None
    finished_at: datetime
    result: Any = None
    error_type: str | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """A row of `attempts`: one that did not end its job."""

    attempt: int
    ended: str
    started_at: datetime
    ended_at: datetime
    retry_at: datetime
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the effects ledger."""

    job: str
    attempt: int
    phase: str


@dataclass(frozen=True, slots=True)
class Look:
    """What there was at one moment."""

    at_s: float
    due_s: float  #: how long the oldest due job had waited, 0: none did
    idle: frozenset[int]  #: worker processes that were well and had nothing to do


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of a run."""

    calls: Sequence[Call] = ()
    stored: Mapping[str, Stored] = field(default_factory=dict)
    ends: Mapping[str, Sequence[End]] = field(default_factory=dict)
    tried: Mapping[str, Sequence[Tried]] = field(default_factory=dict)
    again: Mapping[str, Mapping[int, Sent | None]] = field(default_factory=dict)  #: explicit retries: by job and epoch, the input that each brought
    undone: Mapping[str, frozenset[int]] = field(default_factory=dict)  #: by job, the epochs in which the undo of an action put it back
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()
    effects: Sequence[Effect] = ()
    looks: Sequence[Look] = ()
    wait_limit_s: float = 0.0  #: a due job may wait so long beside an idle process
    away: Sequence[tuple[float, float]] = ()  #: from when to when PostgreSQL could not be relied on
    steps: Sequence[tuple[datetime, datetime]] = ()  #: from when to when the database's clock does not say in which order things happened
    interrupted: bool = True  #: whether any fault could end or repeat a run
    drained_s: float = 0.0  #: from the end of the last fault until nothing was unfinished
    drain_limit_s: float = 0.0

    def sent(self, job_id: str, epoch: int) -> Sent:
        """Return what a job ran with in an epoch."""
        brought = [sent for of, sent in self.again.get(job_id, {}).items() if sent is not None and of <= epoch]
        return brought[-1] if brought else self.stored[job_id].sent

    def last_epoch(self, job_id: str) -> int:
        """Return the last epoch that a job has by what was asked for."""
        return len(self.again.get(job_id, {})) + len(self.undone.get(job_id, ()))

    def before(self, job_id: str, epoch: int) -> End | None:
        """Return the end of the epoch that an undo lets a job go on from; None: the epoch began anew."""
        if epoch not in self.undone.get(job_id, ()):
            return None
        return next((end for end in self.ends.get(job_id, ()) if end.epoch == epoch - 1), None)

    def in_order(self, one: datetime, other: datetime) -> bool:
        """Return whether one thing happened no later than another, or the clock was set and nobody can tell."""
        return one <= other or not (self.sure(one) and self.sure(other))

    def sure(self, moment: datetime) -> bool:
        """Return whether the clock was right when it said this."""
        return not any(since <= moment <= until for since, until in self.steps)

    def began(self, job_id: str, epoch: int) -> list[datetime]:
        """Return when the attempts of an epoch of a job began."""
        ended = [end.started_at for end in self.ends.get(job_id, ()) if end.epoch == epoch and end.started_at is not None]
        return [one.started_at for one in self.tried_in(job_id, epoch)] + ended

    def tried_in(self, job_id: str, epoch: int) -> list[Tried]:
        """Return the attempts that did not end an epoch of a job."""
        return [one for one in self.tried.get(job_id, ()) if one.epoch == epoch]


def tables(database: Database) -> dict[str, Any]:
    """Return what the tables hold."""
    ends, tried = defaultdict(list), defaultdict(list)
    for job_id, *rest in database.rows(
        "SELECT id::text, status, attempt, released, started_at, finished_at, result, error_type, epoch FROM outcomes ORDER BY epoch"
    ):
        ends[job_id].append(End(*rest))
    for job_id, *rest in database.rows("SELECT id::text, attempt, ended, started_at, ended_at, retry_at, epoch FROM attempts ORDER BY epoch, attempt"):
        tried[job_id].append(Tried(*rest))
    jobs = database.rows("SELECT id::text, operation, input, max_attempts FROM jobs")
    stored = {job_id: Stored(Sent(operation, tuple(given["data"])), most) for job_id, operation, given, most in jobs}
    again: dict[str, dict[int, Sent | None]] = defaultdict(dict)
    chosen = {
        job_id: Chosen({0: came_at}, *rest) for job_id, came_at, *rest in database.rows("SELECT id::text, created_at, run_at, deadline, unique_key FROM jobs")
    }
    undone: dict[str, frozenset[int]] = {}
    for job_id, epoch, given, came_at, undo in database.rows("SELECT id::text, epoch, input, at, undo FROM reruns ORDER BY epoch"):
        chosen[job_id] = replace(chosen[job_id], came_at={**chosen[job_id].came_at, epoch: came_at})
        if undo:
            undone[job_id] = undone.get(job_id, frozenset()) | {epoch}
            continue
        again[job_id][epoch] = None if given is None else Sent(stored[job_id].sent.operation, tuple(given["data"]))
    return {
        "stored": stored,
        "again": again,
        "undone": undone,
        "chosen": chosen,
        "ends": ends,
        "tried": tried,
        "unfinished": frozenset(row[0] for row in database.rows("SELECT id::text FROM live")),
    }


def effects(lines: Iterable[Mapping[str, Any]]) -> list[Effect]:
    """Return the effects of the lines of a ledger."""
    return [Effect(line["job"], line["attempt"], line["phase"]) for line in lines]

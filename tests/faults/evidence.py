"""The evidence that a run leaves for the laws: calls, tables, effects, and the times of outages and clock steps."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rig.system import Database

from faults.feed import PastChange, past_changes
from faults.history import Call
from faults.jobs import SentJob
from faults.keys import KeyLife
from faults.limited import PastPause
from faults.schedules import BY_SCHEDULE, PastSchedule, past_schedules


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A row of `jobs`."""

    sent: SentJob
    max_attempts: int
    tenant: int = 1


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of a job, and the creation time of each of its runs. Times are of the database's clock."""

    created_at: Mapping[int, datetime]  #: by run number
    run_at: datetime | None = None
    deadline: datetime | None = None
    unique_key: str | None = None  #: with its tenant
    unique_while: str | None = None
    concurrency_key: str | None = None  #: with its tenant


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of `outcomes`: the end of a run of a job."""

    status: str
    attempt: int
    released: int
    started_at: datetime | None
    finished_at: datetime
    result: Any = None
    error_type: str | None = None
    run_number: int = 0


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """A row of `attempts`: an attempt that did not end its job."""

    attempt: int
    outcome: str
    started_at: datetime
    finished_at: datetime
    retry_at: datetime
    run_number: int = 0


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A row of `batches`, and when its follow-ups were stored, by the database's clock."""

    has_ended: bool
    jobs: int
    failed: int | None
    cancelled: int | None
    has_follow_up: bool
    follow_ups: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the effects ledger."""

    job: str
    attempt: int
    phase: str
    at_s: float = 0.0  #: by time.monotonic, which no clock step changes


@dataclass(frozen=True, slots=True)
class Sample:
    """The oldest due job and the idle worker processes at one moment."""

    at_s: float
    due_s: float  #: how long the oldest due job had waited, 0: no job was due
    idle: frozenset[int]  #: worker processes that were alive and had nothing to do


@dataclass(frozen=True, slots=True)
class PastFault:
    """A fault that was injected; times are of the harness's monotonic clock."""

    name: str
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """All evidence of a run. Tables are by job id; runs of a job are by run number."""

    calls: Sequence[Call] = ()
    stored: Mapping[str, StoredJob] = field(default_factory=dict)
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    attempts: Mapping[str, Sequence[PastAttempt]] = field(default_factory=dict)
    #: The input of each manual retry, None: the input stayed.
    retry_inputs: Mapping[str, Mapping[int, SentJob | None]] = field(default_factory=dict)
    #: The runs in which the undo of a bulk action put a job back.
    undo_runs: Mapping[str, frozenset[int]] = field(default_factory=dict)
    options: Mapping[str, JobOptions] = field(default_factory=dict)
    batches: Mapping[str, StoredBatch] = field(default_factory=dict)  #: by batch id
    unfinished: frozenset[str] = frozenset()
    effects: Sequence[Effect] = ()
    samples: Sequence[Sample] = ()
    wait_limit_s: float = 0.0  #: how long a due job may wait beside an idle process
    outages: Sequence[tuple[float, float]] = ()  #: from when to when PostgreSQL was unreliable
    faults: Sequence[PastFault] = ()
    keys: Mapping[str, KeyLife] = field(default_factory=dict)  #: by key id
    fair_wait_s: float = 0.0  #: how long a job may wait beside a flood of another tenant
    #: From when to when, in Unix seconds, workers may have been unable to claim.
    disturbed: Sequence[tuple[float, float]] = ()
    #: From when to when times of the database's clock do not give the order of events.
    clock_steps: Sequence[tuple[datetime, datetime]] = ()
    schedules: Sequence[PastSchedule] = ()
    feed: Mapping[int, Sequence[PastChange]] = field(default_factory=dict)  #: by tenant
    feed_readers: Sequence[Sequence[PastChange]] = ()  #: what clients of the default tenant have read
    pauses: Sequence[PastPause] = ()
    interrupted: bool = True  #: True if any fault could end or repeat an attempt
    drained_s: float = 0.0  #: from the end of the last fault until nothing was unfinished
    drain_limit_s: float = 0.0

    def input_of(self, job_id: str, run_number: int) -> SentJob:
        """Return the input of a run of a job."""
        retries = self.retry_inputs.get(job_id, {}).items()
        inputs = [sent for retried_run, sent in retries if sent is not None and retried_run <= run_number]
        return inputs[-1] if inputs else self.stored[job_id].sent

    def last_run_number(self, job_id: str) -> int:
        """Return the number of the last run that a job has by its manual retries and undos."""
        return len(self.retry_inputs.get(job_id, {})) + len(self.undo_runs.get(job_id, ()))

    def undone_outcome(self, job_id: str, run_number: int) -> Outcome | None:
        """Return the outcome that an undo took back: the run continues from it. None: the run began anew."""
        if run_number not in self.undo_runs.get(job_id, ()):
            return None
        outcomes = self.outcomes.get(job_id, ())
        return next((outcome for outcome in outcomes if outcome.run_number == run_number - 1), None)

    def in_order(self, earlier: datetime, later: datetime) -> bool:
        """Return True if one time is not after the other, or if a clock step leaves their order unknown."""
        return earlier <= later or not (self.clock_was_right(earlier) and self.clock_was_right(later))

    def clock_was_right(self, moment: datetime) -> bool:
        """Return True if no clock step makes this time ambiguous."""
        return not any(since <= moment <= until for since, until in self.clock_steps)

    def attempt_starts(self, job_id: str, run_number: int) -> list[datetime]:
        """Return the start times of the attempts of a run."""
        last_attempt = [
            outcome.started_at
            for outcome in self.outcomes.get(job_id, ())
            if outcome.run_number == run_number and outcome.started_at is not None
        ]
        return [attempt.started_at for attempt in self.past_attempts(job_id, run_number)] + last_attempt

    def past_attempts(self, job_id: str, run_number: int) -> list[PastAttempt]:
        """Return the attempts of a run that did not end it."""
        return [attempt for attempt in self.attempts.get(job_id, ()) if attempt.run_number == run_number]


def tables(database: Database) -> dict[str, Any]:
    """Return the contents of the tables, as fields of `Evidence`. The jobs of schedules are in `schedules` alone."""
    outcomes, attempts = defaultdict(list), defaultdict(list)
    of_schedules = {row[0] for row in database.rows(f"SELECT id::text FROM jobs WHERE {BY_SCHEDULE}", ())}
    for job_id, *columns in database.rows(
        "SELECT id::text, status, attempt, released, started_at, finished_at, result, error_type, run"
        " FROM outcomes ORDER BY run"
    ):
        if job_id not in of_schedules:
            outcomes[job_id].append(Outcome(*columns))
    for job_id, *columns in database.rows(
        "SELECT id::text, attempt, outcome, started_at, finished_at, retry_at, run FROM attempts ORDER BY run, attempt"
    ):
        if job_id not in of_schedules:
            attempts[job_id].append(PastAttempt(*columns))
    jobs = database.rows("SELECT id::text, operation, input, max_attempts, tenant FROM jobs")
    stored = {
        job_id: StoredJob(SentJob(operation, tuple(body["data"])), max_attempts, tenant)
        for job_id, operation, body, max_attempts, tenant in jobs
        if job_id not in of_schedules
    }
    retry_inputs: dict[str, dict[int, SentJob | None]] = defaultdict(dict)
    options = {
        job_id: JobOptions({0: created_at}, *columns)
        for job_id, created_at, *columns in database.rows(
            "SELECT id::text, created_at, run_at, deadline, tenant || ' ' || unique_key, unique_while,"
            " tenant || ' ' || concurrency_key FROM jobs"
        )
    }
    undo_runs: dict[str, frozenset[int]] = {}
    for job_id, run_number, body, created_at, undo in database.rows(
        "SELECT id::text, run, input, at, undo FROM runs ORDER BY run"
    ):
        created = {**options[job_id].created_at, run_number: created_at}
        options[job_id] = replace(options[job_id], created_at=created)
        if undo:
            undo_runs[job_id] = undo_runs.get(job_id, frozenset()) | {run_number}
            continue
        operation = stored[job_id].sent.operation
        retry_inputs[job_id][run_number] = None if body is None else SentJob(operation, tuple(body["data"]))
    batches = {
        batch_id: StoredBatch(*columns)
        for batch_id, *columns in database.rows(
            """SELECT id::text, ended_at IS NOT NULL, jobs, failed, cancelled, follow_up IS NOT NULL,
                      array(SELECT created_at FROM jobs WHERE metadata ->> 'batch_id' = batches.id::text)
               FROM batches"""
        )
    }
    return {
        "batches": batches,
        "stored": stored,
        "retry_inputs": retry_inputs,
        "undo_runs": undo_runs,
        "options": options,
        "outcomes": outcomes,
        "attempts": attempts,
        "schedules": past_schedules(database),
        "feed": past_changes(database),
        "unfinished": frozenset(row[0] for row in database.rows("SELECT id::text FROM live")),
    }


def effects(lines: Iterable[Mapping[str, Any]]) -> list[Effect]:
    """Return the effects of the lines of a ledger."""
    return [Effect(line["job"], line["attempt"], line["phase"], line["at"]) for line in lines]

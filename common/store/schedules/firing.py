"""The fires of schedules: their rows, the jobs and the next instants are stored in one transaction.

The lock of a schedule's row makes each instant fire once, with any number of controllers; the primary key of its fire
makes sure of it. Leading only saves work.
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

import psycopg2

from common.domain.job import NewJob, new_job_id
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.domain.schedules.firing import Decision, DueSchedule, Fire, decide, postpone
from common.domain.schedules.job import Instant, new_job
from common.domain.schedules.policies import FireOutcome, FireReason, Overlap
from common.store.connection.caller import array
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.connection.statement import Row, array_literal
from common.store.jobs.insert import json_literal, may_be_parked
from common.store.schedules.firing_statements import (
    ADVANCE,
    ANY_DUE,
    CANCEL,
    DELETE_FIRES,
    DUE_IDS,
    INSERT_FIRES,
    INSERT_JOBS,
    INSERT_KEYED_JOBS,
    LOCK_DUE,
    OPERATIONS,
    OVERDUE,
    TENANTS,
    UNFINISHED,
)
from common.store.schedules.records import NAMES, StoredSchedule


@dataclass(frozen=True, slots=True)
class FiringLimits:
    """The limits of a look at the due schedules."""

    schedules: int  #: that one transaction locks
    grace_s: float  #: an instant that is later than this is late
    waiting_jobs: int = 0  #: quota of tenants that have none of their own; 0: no limit
    jobs_per_minute: int = 0  #: likewise, for the jobs of schedules alone


@dataclass(frozen=True, slots=True)
class FireOnly:
    """One schedule, instead of those that are due first."""

    schedule: str  #: its id
    refusal: FireReason | None = None  #: its instants get no job for this reason


@dataclass(slots=True)
class FireBatch:
    """The rows that one transaction has stored."""

    locked: int = 0  #: schedules
    decided: int = 0  #: schedules that have moved on
    outcomes: Counter[FireOutcome] = field(default_factory=Counter)
    errors: list[tuple[str, Exception]] = field(default_factory=list)  #: of schedules, by id, that cannot be decided
    cancelled: list[str] = field(default_factory=list)  #: jobs that were cancelled, or asked to stop


def is_any_due(connection: WorkerConnection, now: datetime | None = None) -> bool:
    """Return True if an instant of a schedule is due."""
    return bool(connection.run(ANY_DUE, (now,)))


def fire_due(
    connection: WorkerConnection,
    limits: FiringLimits,
    now: datetime | None = None,
    only: FireOnly | None = None,
) -> FireBatch:
    """Decide on the due instants of some schedules, and store that with the jobs. Atomic.

    `now`: None, except in tests: the database's clock decides. Raises psycopg2.Error if PostgreSQL refuses a row.
    """
    batch = FireBatch()
    with connection.transaction():
        rows = connection.run(LOCK_DUE, (now, limits.schedules, None if only is None else only.schedule))
        batch.locked = len(rows)
        if rows:
            _fire(connection, rows, limits, batch, None if only is None else only.refusal)
    return batch


def fire_one_by_one(
    connection: WorkerConnection, limits: FiringLimits
) -> Iterator[tuple[FireBatch, psycopg2.Error | None]]:
    """Fire each due schedule in a transaction of its own, after PostgreSQL has refused them together.

    Yields what each has stored. The instants of one that is refused again get no job; its error is yielded with them.
    """
    for row in connection.run(DUE_IDS, (limits.schedules,)):
        try:
            yield fire_due(connection, limits, only=FireOnly(row[0])), None
        except psycopg2.Error as error:
            if isinstance(error, DatabaseUnavailable):
                raise
            yield fire_due(connection, limits, only=FireOnly(row[0], FireReason.JOB)), error


def overdue_s(connection: WorkerConnection) -> float:
    """Return for how many seconds the oldest instant has been due that is not decided; 0: there is none."""
    return float(connection.run(OVERDUE, (0.0,))[0][0] or 0.0)


def delete_fires(connection: WorkerConnection, days: float, limit: int) -> int:
    """Delete up to `limit` fires that are older than some days. Returns how many. Atomic."""
    return int(connection.run(DELETE_FIRES, (days, limit))[0][0])


def _fire(
    connection: WorkerConnection,
    rows: list[Row],
    limits: FiringLimits,
    batch: FireBatch,
    refused: FireReason | None,
) -> None:
    schedules = [StoredSchedule.from_row(dict(zip(NAMES, row, strict=False))) for row in rows]
    now, unix_ms = rows[0][-2:]
    operations = _operations(connection, schedules)
    due_tenants = array({schedule.tenant for schedule in schedules})
    tenants = connection.run(TENANTS, (due_tenants, limits.waiting_jobs, limits.jobs_per_minute))
    room = {tenant: (is_active, left) for tenant, is_active, left, _ in tenants}
    webhooks = {tenant: UUID(webhook) for tenant, _, _, webhook in tenants if webhook is not None}
    last_jobs = [
        schedule.last_job
        for schedule in schedules
        if schedule.last_job is not None and schedule.overlap != Overlap.ALLOW
    ]
    unfinished = {row[0] for row in connection.run(UNFINISHED, (array_literal(last_jobs),))} if last_jobs else set()
    decisions: list[tuple[StoredSchedule, Decision]] = []
    submitted: Counter[int] = Counter()
    for schedule in schedules:
        is_active, left = room.get(schedule.tenant, (False, None))
        refusal = refused or _refusal(schedule, operations, is_active=is_active)
        if refusal is None and left is not None and submitted[schedule.tenant] >= left:
            refusal = FireReason.QUOTA
        due = partial(_due, schedule, refusal, is_last_job_unfinished=str(schedule.last_job) in unfinished)
        try:
            decision = decide(due(), now, limits.grace_s, partial(_job_id, unix_ms))
        except Exception as error:  # noqa: BLE001 - such as a time zone that this machine does not know
            batch.errors.append((str(schedule.id), error))
            decision = postpone(schedule.next_at, schedule.pending_at, schedule.last_job, now)
        submitted[schedule.tenant] += sum(fire.job is not None for fire in decision.fires)
        decisions.append((schedule, decision))
    _store(connection, _cancel(connection, decisions, batch), (operations, webhooks), batch)


def _due(schedule: StoredSchedule, refusal: FireReason | None, *, is_last_job_unfinished: bool) -> DueSchedule:
    """Return a schedule for its decision. Raises ValueError for policies of a newer version."""
    return DueSchedule(
        schedule.id,
        schedule.timing,
        schedule.overlap_policy,
        schedule.catch_up_policy,
        schedule.next_at,
        schedule.pending_at,
        schedule.last_job,
        is_last_job_unfinished,
        refusal,
    )


def _operations(connection: WorkerConnection, schedules: list[StoredSchedule]) -> dict[str, OperationSpec]:
    """Return the operations of schedules by name, as they are now."""
    names = sorted({schedule.submission["operation"] for schedule in schedules})
    return {
        name: OperationSpec(
            name,
            queue,
            RetryPolicy(max_attempts=max_attempts),
            None if timeout_ms is None else timeout_ms / 1000,
            version=version,
            queues=tuple(queues),
        )
        for name, queue, max_attempts, timeout_ms, version, queues in connection.run(OPERATIONS, (names,))
    }


def _refusal(
    schedule: StoredSchedule, operations: Mapping[str, OperationSpec], *, is_active: bool
) -> FireReason | None:
    """Return why no job of a schedule can be submitted; None: it can."""
    submission = schedule.submission
    spec = operations.get(submission["operation"])
    if not is_active:
        return FireReason.TENANT
    if spec is None:
        return FireReason.UNKNOWN_OPERATION
    if submission.get("queue") is not None and submission["queue"] not in spec.queues:
        return FireReason.QUEUE_NOT_ALLOWED
    return None


def _job_id(unix_ms: int) -> UUID:
    return new_job_id(unix_ms, secrets.randbits(74))


def _cancel(
    connection: WorkerConnection, decisions: list[tuple[StoredSchedule, Decision]], batch: FireBatch
) -> list[tuple[StoredSchedule, Decision]]:
    """Cancel the old jobs. Return the decisions without those whose old job another transaction holds."""
    wanted = {str(decision.cancelled) for _, decision in decisions if decision.cancelled is not None}
    if not wanted:
        return decisions
    batch.cancelled = [row[0] for row in connection.run(CANCEL, (array_literal(sorted(wanted)),))]
    held = wanted - set(batch.cancelled)
    return [(schedule, decision) for schedule, decision in decisions if str(decision.cancelled) not in held]


def _store(
    connection: WorkerConnection,
    decisions: list[tuple[StoredSchedule, Decision]],
    defaults: tuple[Mapping[str, OperationSpec], Mapping[int, UUID]],
    batch: FireBatch,
) -> None:
    """Store fires, jobs and next instants. `defaults`: of operations by name, and the webhooks of tenants."""
    operations, webhooks = defaults
    batch.decided = len(decisions)
    fires = [(schedule, fire) for schedule, decision in decisions for fire in decision.fires]
    if fires:
        stored = {
            row[0]
            for row in connection.run(
                INSERT_FIRES, (json.dumps([_fire_row(schedule, fire) for schedule, fire in fires]),)
            )
        }
        jobs = [
            new_job(
                schedule.submission,
                operations[schedule.submission["operation"]],
                fire.job,
                Instant(schedule.id, schedule.tenant, fire.at),
                webhooks.get(schedule.tenant),
            )
            for schedule, fire in fires
            if fire.job is not None and str(fire.job) in stored
        ]
        _insert_jobs(connection, jobs)
        batch.outcomes.update(fire.outcome for _, fire in fires)
    if decisions:
        connection.run(
            ADVANCE, (json.dumps([_advance_row(schedule.id, decision) for schedule, decision in decisions]),)
        )


def _insert_jobs(connection: WorkerConnection, jobs: list[NewJob]) -> None:
    if jobs:
        statement = INSERT_KEYED_JOBS if may_be_parked(jobs) else INSERT_JOBS
        connection.run(statement, (json_literal(jobs), array({job.tenant for job in jobs})))


def _fire_row(schedule: StoredSchedule, fire: Fire) -> dict[str, object]:
    return {
        "schedule": str(schedule.id),
        "at": fire.at.isoformat(),
        "tenant": schedule.tenant,
        "through": fire.through and fire.through.isoformat(),
        "job": fire.job and str(fire.job),
        "outcome": fire.outcome,
        "reason": fire.reason,
    }


def _advance_row(schedule_id: UUID, decision: Decision) -> dict[str, object]:
    times = ("next_at", "due_at", "pending_at", "last_at")
    return {
        "id": str(schedule_id),
        "last_job": decision.last_job and str(decision.last_job),
        **{name: (at := getattr(decision, name)) and at.isoformat() for name in times},
    }

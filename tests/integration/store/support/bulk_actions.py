"""Bulk actions without a controller: requested as the API does, run step by step."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from integration.store.support.cancel_retry import an_entry
from integration.store.support.storage import Storage
from sqlalchemy import Connection

from common.domain.bulk_actions import STATES_CHANGED_BY, ActionKind, ActionRequest, Phase, StartRequest
from common.domain.job import new_job_id
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.domain.tenancy.audit import AuditAction
from common.store.bulk_actions import changes, lifecycle, outcomes, steps
from common.store.bulk_actions.lifecycle import NewBulkAction, PreviewLimits
from common.store.bulk_actions.outcomes import ChangedJobs
from common.store.bulk_actions.steps import Step
from common.store.connection.lanes import Lane
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.listing.index_scan import Record, ScanLimits
from common.store.workers.low_water_marks import NIL_UUID

STATEMENTS = [
    changes.CANCEL,
    changes.REPRIORITISE,
    changes.TAKE_KEYS,
    changes.CHECK_RETRYABLE,
    changes.RETRY,
    changes.UNDO_CANCEL,
]
T = TypeVar("T")
SKEW_S = 3_600
LIMITS = PreviewLimits(scanned=20_000, skew_s=SKEW_S, previews=1_000, protected_s=60)


def _parsed(action: Record) -> Record:
    return action | {name: json.loads(action[name]) for name in ("sample", "skipped", "not_undone", "preview")}


class ActionDriver:
    """A client of bulk actions, with the connection of a controller that runs their steps."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.connection: WorkerConnection = storage.connection()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction, as the API does."""
        return self.storage.with_pool(lambda pool: pool.run_sync(work, Lane.BY_ID))

    def preview(
        self,
        kind: ActionKind,
        *statuses: State,
        priority: int | None = None,
        limits: PreviewLimits = LIMITS,
        **filters: str,
    ) -> Record:
        """Create a bulk action. Returns its preview."""
        search = JobSearch(statuses=frozenset(statuses) or STATES_CHANGED_BY[kind], **filters)  # type: ignore[arg-type]  # a test's
        bulk_action_id = new_job_id(
            int(self.storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000")), id(search)
        )
        new = NewBulkAction(bulk_action_id, kind, search, priority, 100)
        return _parsed(self.call(lambda connection: lifecycle.preview(connection, 1, new, limits)))

    def start(self, kind: ActionKind, *statuses: State, priority: int | None = None, **filters: Any) -> str:
        """Create a bulk action and start it. Returns its id."""
        preview = self.preview(kind, *statuses, priority=priority, **filters)
        assert self.request(str(preview["id"]), ActionRequest.START, preview["count"])["phase"] == "RUNNING"
        return str(preview["id"])

    def request(
        self, bulk_action_id: str, verb: ActionRequest, count: int | None = None, first: int | None = None
    ) -> Record:
        start = StartRequest(count, first, "key:tester")
        entry, action_id = an_entry(AuditAction(f"bulk_action.{verb}"), bulk_action_id), UUID(bulk_action_id)
        action, _ = self.call(lambda connection: lifecycle.request(connection, 1, action_id, verb, entry, start))
        return _parsed(action)

    def read(self, bulk_action_id: str) -> Record:
        return _parsed(self.call(lambda connection: lifecycle.read(connection, 1, UUID(bulk_action_id))))

    def run_step(
        self, bulk_action_id: str, max_jobs: int = 100, *, max_scanned: int = 1_000, lock_s: float = 10
    ) -> Step | None:
        return steps.run_step(self.connection, bulk_action_id, ScanLimits(max_jobs, max_scanned, SKEW_S), lock_s)

    def outcomes(self, bulk_action_id: str, limit: int = 1_000) -> ChangedJobs:
        """Return what became of the jobs of a bulk action."""
        return self.call(lambda connection: outcomes.read(connection, 1, UUID(bulk_action_id), limit))

    def finish(self, bulk_action_id: str, max_jobs: int = 100) -> Record:
        """Run steps until the phase has none. Returns the bulk action."""
        while self.run_step(bulk_action_id, max_jobs) is not None:
            pass
        action = self.read(bulk_action_id)
        assert action["phase"] in {Phase.DONE, Phase.UNDONE}
        assert action["matched"] == action["done"] + sum(action["skipped"].values())
        return action

    def undo(self, bulk_action_id: str, max_jobs: int = 100) -> Record:
        """Undo a bulk action, to its end. Returns it."""
        assert self.request(bulk_action_id, ActionRequest.UNDO)["phase"] == "UNDOING"
        action = self.finish(bulk_action_id, max_jobs)
        assert action["done"] == action["undone"] + sum(action["not_undone"].values())
        assert (
            self.storage.value("SELECT count(*) FROM bulk_action_jobs WHERE bulk_action = %s", (bulk_action_id,)) == 0
        )
        return action


def step_arguments(ids: Sequence[str]) -> dict[Statement, Sequence[object]]:
    """Return the arguments of each statement of a step that changes these jobs."""
    job_ids, nulls = array_literal(ids), changes._nulls(ids)
    arguments: list[Sequence[object]] = [
        (NIL_UUID, job_ids, nulls, True, True),
        (NIL_UUID, job_ids, array_literal([1] * len(ids)), nulls, 1),
    ]
    arguments += [
        ("{1}", ["key"], array_literal(ids[:1] or [NIL_UUID])),
        (job_ids, nulls, ["CANCELLED"]),
        (NIL_UUID, job_ids),
        (NIL_UUID, job_ids),
    ]
    return dict(zip(STATEMENTS, arguments, strict=True))


def states(storage: Storage, ids: Sequence[str]) -> list[str | None]:
    """Return the states of jobs, in their order."""
    return [storage.state(job_id) for job_id in ids]


def cancelled_jobs(storage: Storage, count: int) -> list[str]:
    """Store jobs that were cancelled before they ran. Returns their ids."""
    job_ids = storage.submit(count)
    storage.rows("DELETE FROM live WHERE id = ANY (%s::uuid[])", (job_ids,))
    storage.rows(
        """INSERT INTO outcomes (id, run, attempt, released, rev, status)
           SELECT unnest(%s::uuid[]), 0, 0, 0, 1, 'CANCELLED'""",
        (job_ids,),
    )
    return job_ids


def changeable_jobs(storage: Storage, kind: ActionKind, count: int) -> list[str]:
    """Store jobs that a bulk action of this kind changes. Returns their ids."""
    return cancelled_jobs(storage, count) if kind is ActionKind.RETRY else storage.submit(count)


def start_action(actions: ActionDriver, kind: ActionKind) -> str:
    """Start a bulk action on all jobs that its kind applies to. Returns its id."""
    return actions.start(kind, priority=2 if kind is ActionKind.REPRIORITISE else None)


def changed_jobs(storage: Storage, kind: ActionKind) -> list[str]:
    """Return the ids of jobs that a bulk action of this kind has changed."""
    sql = {
        ActionKind.CANCEL: "SELECT id::text FROM outcomes WHERE status = 'CANCELLED' AND run = 0 ORDER BY id",
        ActionKind.RETRY: "SELECT id::text FROM live WHERE run = 1 AND attempt = 0 ORDER BY id",
        ActionKind.REPRIORITISE: "SELECT id::text FROM live WHERE priority = 2 ORDER BY id",
    }[kind]
    return [row[0] for row in storage.rows(sql)]

"""Actions without their controller: asked for as the API does, their turns taken one by one."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from integration.store.support.storage import Storage
from sqlalchemy import Connection

from common.domain.bulk_actions import ACTS_ON, ActionKind, Phase, Verb
from common.domain.job import new_job_id
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.store.bulk_actions import changes, lifecycle, steps
from common.store.bulk_actions.lifecycle import NewBulkAction
from common.store.bulk_actions.steps import Step
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.jobs.claims import NIL_UUID
from common.store.listing.index_scan import Record, ScanLimits

STATEMENTS = [changes.CANCEL, changes.REPRIORITISE, changes.TAKE_KEYS, changes.CHECK_RETRYABLE, changes.RETRY, changes.UNDO_CANCEL]
T = TypeVar("T")
SKEW_S = 3_600


class Acting:
    """A client of actions, and the connection of a controller."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.connection: WorkerConnection = storage.connection()

    def call(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction as the API does."""
        return self.storage.with_pool(lambda pool: pool.run_sync(work))

    def new(self, kind: ActionKind, *statuses: State, priority: int | None = None, most: int = 20_000, **filters: str) -> Record:
        """Ask for an action; returns its preview."""
        search = JobSearch(statuses=frozenset(statuses) or ACTS_ON[kind], **filters)  # type: ignore[arg-type]  # of a test
        action_id = new_job_id(int(self.storage.one("SELECT extract(epoch FROM clock_timestamp()) * 1000")), id(search))
        wanted = NewBulkAction(action_id, kind, search, priority, 100)
        return self.call(lambda connection: lifecycle.preview(connection, wanted, most, SKEW_S))

    def begun(self, kind: ActionKind, *statuses: State, priority: int | None = None, **filters: Any) -> str:
        """Ask for an action and start it; returns its id."""
        action_id = str(self.new(kind, *statuses, priority=priority, **filters)["id"])
        assert self.ask(action_id, Verb.START)["phase"] == "RUNNING"
        return action_id

    def ask(self, action_id: str, verb: Verb) -> Record:
        return self.call(lambda connection: lifecycle.request(connection, UUID(action_id), verb))[0]

    def look(self, action_id: str) -> Record:
        return self.call(lambda connection: lifecycle.read(connection, UUID(action_id)))

    def turn(self, action_id: str, most: int = 100, *, scanned: int = 1_000, lock_s: float = 10) -> Step | None:
        return steps.run_step(self.connection, action_id, ScanLimits(most, scanned, SKEW_S), lock_s)

    def finish(self, action_id: str, most: int = 100) -> Record:
        """Take turns until there is nothing to do."""
        while self.turn(action_id, most) is not None:
            pass
        found = self.look(action_id)
        assert found["phase"] in {Phase.DONE, Phase.UNDONE}
        assert found["matched"] == found["done"] + sum(found["skipped"].values())
        return found

    def undo(self, action_id: str, most: int = 100) -> Record:
        assert self.ask(action_id, Verb.UNDO)["phase"] == "UNDOING"
        found = self.finish(action_id, most)
        assert found["done"] == found["undone"] + sum(found["not_undone"].values())
        assert self.storage.one("SELECT count(*) FROM action_jobs WHERE action = %s", (action_id,)) == 0
        return found


def arguments(ids: Sequence[str]) -> dict[Statement, Sequence[object]]:
    """Return with what the statements of a turn are called that changes these jobs."""
    some, nulls = array_literal(ids), changes._nulls(ids)
    called: list[Sequence[object]] = [(NIL_UUID, some, nulls, True, True), (NIL_UUID, some, array_literal([1] * len(ids)), nulls, 1)]
    called += [(["key"], array_literal(ids[:1] or [NIL_UUID])), (some, nulls, ["CANCELLED"]), (NIL_UUID, some), (NIL_UUID, some)]
    return dict(zip(STATEMENTS, called, strict=True))


def states(storage: Storage, ids: Sequence[str]) -> list[str | None]:
    """Return the states of jobs, in their order."""
    return [storage.state(job_id) for job_id in ids]


def cancelled(storage: Storage, count: int) -> list[str]:
    """Return jobs that were cancelled before they ran."""
    made = storage.submit(count)
    storage.rows("DELETE FROM live WHERE id = ANY (%s::uuid[])", (made,))
    storage.rows("INSERT INTO outcomes (id, epoch, attempt, released, rev, status) SELECT unnest(%s::uuid[]), 0, 0, 0, 1, 'CANCELLED'", (made,))
    return made


def matching(storage: Storage, kind: ActionKind, count: int) -> list[str]:
    """Return jobs that an action can do something to."""
    return cancelled(storage, count) if kind is ActionKind.RETRY else storage.submit(count)


def begin(acting: Acting, kind: ActionKind) -> str:
    return acting.begun(kind, priority=2 if kind is ActionKind.REPRIORITISE else None)


def changed(storage: Storage, kind: ActionKind) -> list[str]:
    """Return what is as the action makes it."""
    sql = {
        ActionKind.CANCEL: "SELECT id::text FROM outcomes WHERE status = 'CANCELLED' AND epoch = 0 ORDER BY id",
        ActionKind.RETRY: "SELECT id::text FROM live WHERE epoch = 1 AND attempt = 0 ORDER BY id",
        ActionKind.REPRIORITISE: "SELECT id::text FROM live WHERE priority = 2 ORDER BY id",
    }[kind]
    return [row[0] for row in storage.rows(sql)]

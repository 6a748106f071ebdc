"""Sessions of the state machine: their transactions, and calls that transactions of other sessions block."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg
from hypothesis.stateful import RuleBasedStateMachine
from integration.store.support.machine.calls import QUEUES, Commits
from integration.store.support.model import Model, Transaction, Worker
from integration.store.support.sessions import Api, Session, await_call
from integration.store.support.storage import LONG_S, Storage

from common.domain.job import ClaimedJob, NewJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.workers import leases
from common.store.workers.low_water_marks import LowWaterMarks

T = TypeVar("T")
PARKED = "SELECT id::text FROM live WHERE claimable_at = 'infinity'"
#: Claimed jobs, each with the id of the worker that claimed it.
Claims = list[tuple[int, ClaimedJob]]


@dataclass
class Process:
    """A worker process: its id, its low-water marks, and all of its claims."""

    id: int
    marks: dict[str, LowWaterMarks] = field(default_factory=dict)
    claimed: Claims = field(default_factory=list)  #: in committed transactions
    claiming: Claims = field(default_factory=list)  #: in its open transaction


class SessionMachine(RuleBasedStateMachine):
    """Two worker processes, their parent, a controller and two connections of the API.

    Each may keep a transaction open while the others act.
    """

    storage: Storage
    sessions: dict[str, Session]
    apis: dict[str, Api]
    observer: WorkerConnection  #: commits each statement
    model: Model
    batches: list[list[NewJob]]  #: all submissions
    processes: dict[str, Process]

    def _all_sessions(self) -> dict[str, Session | Api]:
        return {**self.sessions, **self.apis}

    def _register(self) -> int:
        worker = leases.register(self.observer, LONG_S, 1, "test", sorted(set(QUEUES)), ["square_sum"])
        self.model.workers[worker] = Worker()
        return worker

    def begin(self, session: str) -> None:
        """Begin a transaction, unless the session has one."""
        if session not in self.model.open:
            self._all_sessions()[session].begin()
            self.model.open[session] = Transaction()

    def end(self, selector: int, commits: bool) -> None:
        """End one of the open transactions."""
        if sessions := sorted(self.model.open):
            self._end(sessions[selector % len(sessions)], commits=commits)

    def _end(self, session: str, *, commits: bool) -> None:
        self._all_sessions()[session].end(commits=commits)
        self.model.end(session, commits=commits)
        if session in self.processes:
            process = self.processes[session]
            process.claimed += process.claiming
            process.claiming = []

    def _parked(self, session: str) -> set[str]:
        """Return the parked jobs that a session sees."""
        if session in self.sessions:
            cursor = self.sessions[session].connection._cursor
            cursor.execute(PARKED)
            return {row[0] for row in cursor.fetchall()}

        async def fetch(connection: asyncpg.Connection) -> set[str]:
            return {row[0] for row in await connection.fetch(PARKED)}

        return self.apis[session].run(fetch)

    def _run(self, session: str, work: Callable[[], T], commits: Commits, blockers: set[str]) -> tuple[T, bool]:
        """Run work in a session. Only sessions that have locked its rows, the blockers, may block it.

        Returns the result, and True if the work was blocked.
        """
        if not self.model.others(session):
            return work(), False
        return self._await(session, self.sessions[session], self.sessions[session].start(work), commits, blockers)

    def _await(
        self, session: str, connection: Session | Api, future: "Future[T]", commits: Commits, blockers: set[str]
    ) -> tuple[T, bool]:
        names = {other.pid: name for name, other in self._all_sessions().items()}

        def unblock(pid: int) -> None:
            assert names[pid] in blockers, f"{session} waits for {names[pid]}"
            if names[pid] in self.model.open:
                self._end(names[pid], commits=commits[0])

        return await_call(self.storage, connection, future, unblock)

    def _lockers(self, session: str, job_ids: set[str]) -> set[str]:
        """Return the other sessions that have locked any of these jobs."""
        return {other for other, transaction in self.model.others(session).items() if job_ids & set(transaction.jobs)}

    def _end_if_blocked(self, session: str, commits: Commits, *, blocked: bool) -> None:
        """End the transaction of a session that was blocked: it has locked also rows that it then found changed."""
        if blocked and session in self.model.open:
            self._end(session, commits=commits[1])

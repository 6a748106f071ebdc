"""Workers and the controller, at the store and in the model: leases, crashes, rescues, strays."""

from dataclasses import replace
from functools import partial

from integration.store.support.machine.attempts import AT_ONCE, AttemptMachine
from integration.store.support.machine.calls import QUEUES, Commits
from integration.store.support.machine.sessions import Process
from integration.store.support.storage import LONG_S

from common.domain.decisions import RELEASED, WORKER_LOST, decide
from common.domain.operation_spec import OperationSpec
from common.domain.states import State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import failures
from common.store.queues import queue_state
from common.store.workers import leases
from common.store.workers.leases import LeaseRenewal
from worker.controller.rescue import Rescue

OPERATIONS = {"square_sum": OperationSpec("square_sum", retry=AT_ONCE)}

MAX_CRASHES = 1_000  # max_attempts ends a job before


class WorkerMachine(AttemptMachine):
    """Workers with leases, and a controller."""

    # --- leases

    def renew(self, process: str, commits: Commits, **_prepared: bool) -> None:
        worker, parent = self.processes[process].id, self.sessions["parent"].connection
        low_water_marks = {
            queue: {
                str(priority): position for priority, position in marks.claimable_at.items() if position != "-infinity"
            }
            for queue, marks in self.processes[process].marks.items()
        }
        before = self.model.worker("parent", worker)
        lockers = self._worker_lockers("parent", worker)
        renewed, blocked = self._run(
            "parent",
            lambda: leases.renew(parent, LONG_S, [LeaseRenewal(worker, 0, low_water_marks)]),
            commits,
            lockers,
        )
        after = self.model.worker("parent", worker)
        assert renewed == ({worker} if before.works and after.works else set()), "an ended lease is not renewed"
        if renewed:
            self.model.write_worker("parent", worker, after)
        self._end_if_blocked("parent", commits, blocked=blocked)

    def _worker_lockers(self, session: str, worker: int) -> set[str]:
        return {other for other, transaction in self.model.others(session).items() if worker in transaction.workers}

    def expire(self, selector: int) -> None:
        """End a lease, perhaps of a process that has another id by now."""
        if running := [
            worker
            for worker, state in self.model.workers.items()
            if state.works and worker not in self.model.locked_workers()
        ]:
            self._expire(running[selector % len(running)])

    def _expire(self, worker: int) -> None:
        self.storage.rows(
            "UPDATE workers SET alive_until = clock_timestamp() - interval '1 ms' WHERE id = %s", (worker,)
        )
        self.model.workers[worker] = replace(self.model.workers[worker], alive=False)

    def register(self, process: str) -> None:
        """Register a process that has lost its lease under another id."""
        old = self.processes[process]
        if not self.model.workers[old.id].works:
            self.processes[process] = Process(self._register(), claimed=old.claimed, claiming=old.claiming)

    def crash(self, process: str, running: int, commits: Commits) -> None:
        """Crash a process: its parent charges the running job and releases the others."""
        worker, jobs = self.processes[process].id, self.model.visible_jobs("parent")
        held = [job_id for job_id in jobs if job_id in self.model.held("parent", worker)]
        crashed = held[running % len(held)] if held else ""
        work = partial(_recover, self.sessions["parent"].connection, worker, crashed)
        _, blocked = self._run("parent", work, commits, self._worker_lockers("parent", worker))
        lost = str(WORKER_LOST.outcome), WORKER_LOST.error_type
        released = str(RELEASED.outcome), RELEASED.error_type
        self.model.recover("parent", worker, lambda job_id: lost if job_id == crashed else released)
        self._end_if_blocked("parent", commits, blocked=blocked)

    # --- the controller

    def rescue(self, session: str, orphans: bool, **_prepared: bool) -> None:
        """Rescue jobs. A rescue is never blocked: it skips rows that others have locked."""
        work = Rescue(MAX_CRASHES).orphaned_jobs if orphans else Rescue(MAX_CRASHES).lost_workers
        count, _ = self._run(session, partial(work, self.sessions[session].connection, OPERATIONS), (True, True), set())
        lost = self.model.orphaned(session) if orphans else self.model.expired(session)
        assert count == len(self.model.rescue(session, lost))

    def requeue_strays(self, full: bool) -> None:
        connection = self.sessions["controller"].connection
        claimable = {job_id for queue in QUEUES for job_id in self.model.claimable("controller", queue)}
        before = _positions(connection)
        requeued, _ = self._run(
            "controller",
            partial(queue_state.requeue_strays, connection, None if full else 60.0, 100),
            (True, True),
            set(),
        )
        moved = {job_id for job_id, position in _positions(connection).items() if before[job_id] != position}
        assert len(requeued) == len(moved)
        assert moved <= self.model.passed & claimable, "jobs above every mark, and held ones, keep their position"
        assert not full or not set(_strays(connection)) & claimable, "a full scan leaves no job below the marks"
        jobs = self.model.visible_jobs("controller")
        self.model.write("controller", {job_id: jobs[job_id].touch() for job_id in moved}, moved=True)

    def end_delays(self, selector: int) -> None:
        """End delays of retries; rev does not change."""
        delayed = [
            job_id
            for job_id, job in self.model.jobs.items()
            if job.state is State.RETRYING and job_id not in self.model.locked("")
        ]
        selected = delayed if selector % 2 else delayed[:1]
        self.storage.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE id = ANY(%s::uuid[])", (selected,))
        self.model.jobs.update({job_id: self.model.jobs[job_id].due() for job_id in selected})

    def check_settled_before(self, process: str, selector: int, stale: bool) -> None:
        if batch := self._select("", process, selector, stale):
            settled = failures.settled_before(
                self.observer, batch[0][0], [job.id for _, job in batch], [job.attempt for _, job in batch]
            )
            assert settled == {job.id for worker, job in batch if self.model.jobs[job.id].ended_by(worker, job.attempt)}

    def _finish_all(self, process_name: str) -> None:
        """Claim and settle all jobs that a process can claim, and renew its lease."""
        for queue in sorted(set(QUEUES)):
            self._settle_and_claim(process_name, [], queue, 1_000, (True, True))
        process = self.processes[process_name]
        for worker in {worker for worker, _ in process.claimed}:
            batch = {
                job.id: (claimed_by, job)
                for claimed_by, job in process.claimed
                if claimed_by == worker and self._unfenced(process_name, [(worker, job)])
            }
            if batch:
                settled = self._write(process_name, list(batch.values()), "settle")
                assert settled == set(batch)
                self._end_in_model(process_name, settled, "settle", list(batch.values()))
        self.renew(process_name, (True, True))


def _recover(connection: WorkerConnection, worker: int, crashed: str) -> None:
    with connection.transaction():
        held = failures.lock_held(connection, worker, 1_000)
        failures.write_decisions(
            connection,
            worker,
            [
                (job, decide(job, WORKER_LOST if job.id == crashed else RELEASED, AT_ONCE, 0.0, MAX_CRASHES))
                for job, _ in held
            ],
        )
        leases.end_lease(connection, worker)


def _positions(connection: WorkerConnection) -> dict[str, object]:
    connection._cursor.execute("SELECT id::text, claimable_at FROM live")
    return dict(connection._cursor.fetchall())


def _strays(connection: WorkerConnection) -> list[str]:
    connection._cursor.execute("""
        SELECT l.id::text FROM live l WHERE worker IS NULL AND claimable_at <
            (SELECT max((w.low_water_marks -> l.queue ->> l.priority::text)::timestamptz) FROM workers w
             WHERE ended_at IS NULL)""")
    return [row[0] for row in connection._cursor.fetchall()]

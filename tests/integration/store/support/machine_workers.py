"""What happens to workers and to what they hold, at the store and in the model: leases, deaths, rescues, strays."""

from dataclasses import replace
from functools import partial

from integration.store.support.machine import AT_ONCE, Jobs, Process
from integration.store.support.storage import LONG_S
from integration.store.support.verbs import QUEUES

from common.domain.decisions import RELEASED, WORKER_LOST, decide
from common.domain.operation_spec import OperationSpec
from common.domain.states import State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, failures
from common.store.queues import queue_state
from common.store.workers import leases
from common.store.workers.leases import LeaseRenewal
from worker.controller.rescue import Rescue

KNOWN = {"square_sum": OperationSpec("square_sum", retry=AT_ONCE)}

MAX_CRASHES = 1_000  # the budget of attempts is what ends a job here


class Workers(Jobs):
    """With the workers that run them and the controller that looks after both."""

    # --- leases

    def renew(self, whose: str, how: tuple[bool, bool], **_prepared: bool) -> None:
        process, parent = self.processes[whose], self.sessions["parent"].connection
        low = {queue: {str(p): pos for p, pos in marks.claimable_at.items() if pos != "-infinity"} for queue, marks in process.marks.items()}
        before = self.model.worker("parent", process.id)
        lockers = self._worker_lockers("parent", process.id)
        renewed, waited = self._do("parent", lambda: leases.renew(parent, LONG_S, [LeaseRenewal(process.id, 0, low)]), how, lockers)
        after = self.model.worker("parent", process.id)
        assert renewed == ({process.id} if before.works and after.works else set()), "a lease that has ended is not renewed"
        if renewed:
            self.model.write_worker("parent", process.id, after)
        self._leave("parent", how, waited=waited)

    def _worker_lockers(self, name: str, worker: int) -> set[str]:
        return {other for other, one in self.model.others(name).items() if worker in one.workers}

    def expire(self, which: int) -> None:
        """A lease runs out, also one of a process that has another by now."""
        if lasting := [w for w, one in self.model.workers.items() if one.works and w not in self.model.locked_workers()]:
            self._expire(lasting[which % len(lasting)])

    def _expire(self, worker: int) -> None:
        self.storage.rows("UPDATE workers SET alive_until = clock_timestamp() - interval '1 ms' WHERE id = %s", (worker,))
        self.model.workers[worker] = replace(self.model.workers[worker], alive=False)

    def register(self, whose: str) -> None:
        """A process that has lost its lease takes another id."""
        old = self.processes[whose]
        if not self.model.workers[old.id].works:
            self.processes[whose] = Process(self._register(), claimed=old.claimed, claiming=old.claiming)

    def die(self, whose: str, ran: int, how: tuple[bool, bool]) -> None:
        """A process dies: its parent charges the job that ran and gives back the others."""
        worker, jobs = self.processes[whose].id, self.model.see("parent")
        held = [job_id for job_id in jobs if job_id in self.model.held("parent", worker)]
        running = held[ran % len(held)] if held else ""
        work = partial(_bury, self.sessions["parent"].connection, worker, running)
        _, waited = self._do("parent", work, how, self._worker_lockers("parent", worker))
        lost, back = (str(WORKER_LOST.outcome), WORKER_LOST.error_type), (str(RELEASED.outcome), RELEASED.error_type)
        self.model.give_back("parent", worker, lambda job_id: lost if job_id == running else back)
        self._leave("parent", how, waited=waited)

    # --- the controller

    def rescue(self, name: str, leftovers: bool, **_prepared: bool) -> None:
        """It never waits: what another has locked is passed over."""
        work = Rescue(MAX_CRASHES).orphaned_jobs if leftovers else Rescue(MAX_CRASHES).lost_workers
        (count, _), _ = self._do(name, partial(work, self.sessions[name].connection, KNOWN), (True, True), set())
        assert count == len(self.model.rescue(name, self.model.orphaned(name) if leftovers else self.model.expired(name)))

    def float_strays(self, full: bool) -> None:
        connection, free = self.sessions["controller"].connection, {job_id for queue in QUEUES for job_id in self.model.free("controller", queue)}
        before = _places(connection)
        told, _ = self._do("controller", partial(queue_state.requeue_strays, connection, None if full else 60.0, 100), (True, True), set())
        moved = {job_id for job_id, place in _places(connection).items() if before[job_id] != place}
        assert len(told) == len(moved)
        assert moved <= self.model.passed & free, "what waits above every mark, and what is held, stays where it is"
        assert not full or not set(_strays(connection)) & free, "a full look leaves nobody below the marks"
        jobs = self.model.see("controller")
        self.model.write("controller", {job_id: jobs[job_id].touch() for job_id in moved}, moved=True)

    def let_delays_end(self, which: int) -> None:
        """Delays end; nothing is written."""
        later = [job_id for job_id, job in self.model.jobs.items() if job.state is State.RETRYING and job_id not in self.model.locked("")]
        chosen = later if which % 2 else later[:1]
        self.storage.rows("UPDATE live SET pos = clock_timestamp() WHERE id = ANY(%s::uuid[])", (chosen,))
        self.model.jobs.update({job_id: self.model.jobs[job_id].due() for job_id in chosen})

    def ask_what_is_settled(self, whose: str, which: int, stale: bool) -> None:
        if batch := self._pick("", whose, which, stale):
            found = claims.settled_before(self.clerk, batch[0][0], [job.id for _, job in batch], [job.attempt for _, job in batch])
            assert found == {job.id for worker, job in batch if self.model.jobs[job.id].ended_by(worker, job.attempt)}

    def _finish_everything(self, name: str) -> None:
        for queue in sorted(set(QUEUES)):
            self._exchange(name, [], queue, 1_000, (True, True))
        process = self.processes[name]
        for worker in {worker for worker, _ in process.claimed}:
            batch = {job.id: (worker, job) for whose, job in process.claimed if whose == worker and self._fits(name, [(worker, job)])}
            if batch:
                stood = self._write(name, list(batch.values()), "settle")
                assert stood == set(batch)
                self._finished(name, stood, "settle", list(batch.values()))
        self.renew(name, (True, True))


def _bury(connection: WorkerConnection, worker: int, running: str) -> None:
    with connection.transaction():
        held = failures.lock_held(connection, worker, 1_000)
        failures.write_decisions(
            connection, worker, [(job, decide(job, WORKER_LOST if job.id == running else RELEASED, AT_ONCE, 0.0, MAX_CRASHES)) for job, _ in held]
        )
        leases.end_lease(connection, worker)


def _places(connection: WorkerConnection) -> dict[str, object]:
    connection._cursor.execute("SELECT id::text, pos FROM live")
    return dict(connection._cursor.fetchall())


def _strays(connection: WorkerConnection) -> list[str]:
    connection._cursor.execute("""
        SELECT l.id::text FROM live l WHERE worker IS NULL AND pos <
            (SELECT max((w.low -> l.queue ->> l.priority::text)::timestamptz) FROM workers w WHERE ended_at IS NULL)""")
    return [row[0] for row in connection._cursor.fetchall()]

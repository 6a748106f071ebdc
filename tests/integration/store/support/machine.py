"""What happens to jobs, at the store and in the model: they come, are claimed, and their attempts end; in transactions that stay open."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize
from integration.store.support.model import Job, Model, Open, Worker
from integration.store.support.sessions import Api, Session, meet
from integration.store.support.storage import LONG_S, Storage, ids
from integration.store.support.verbs import QUEUES

from common.domain.decisions import RELEASED, AttemptOutcome, Failure, decide
from common.domain.job import ClaimedJob, NewJob
from common.domain.retry import RetryPolicy
from common.domain.states import TERMINAL, State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, failures
from common.store.jobs.claims import LowWaterMarks, Results
from common.store.workers import leases

T = TypeVar("T")
AT_ONCE, LATER = RetryPolicy(base_s=0, cap_s=0), RetryPolicy(base_s=3_600, cap_s=3_600)
FAILURES = {
    "release": RELEASED,
    "error": Failure(AttemptOutcome.ERROR, "RuntimeError", "it went wrong"),
    "later": Failure(AttemptOutcome.ERROR, "RuntimeError", "it went wrong"),
    "permanent": Failure(AttemptOutcome.PERMANENT, "ValueError", "it cannot be"),
    "timeout": Failure(AttemptOutcome.TIMEOUT, "timeout", "took too long"),
}


@dataclass
class Process:
    """A worker process: its id, its marks, every claim that it has ever been given, those of its open transaction apart."""

    id: int
    marks: dict[str, LowWaterMarks] = field(default_factory=dict)
    claimed: list[tuple[int, ClaimedJob]] = field(default_factory=list)
    claiming: list[tuple[int, ClaimedJob]] = field(default_factory=list)


class Jobs(RuleBasedStateMachine):
    """Two workers, their parent, a controller, two connections of the API; each may keep a transaction open while the others act."""

    storage: Storage
    sessions: dict[str, Session]
    apis: dict[str, Api]
    clerk: WorkerConnection  #: commits each statement

    # --- the two sides

    @initialize(count=st.integers(1, 4), most=st.integers(1, 3))
    def start(self, count: int, most: int) -> None:
        for session in self._everybody().values():
            session.reset()
        self.storage.rows("DELETE FROM live")
        self.storage.rows("DELETE FROM workers")
        self.model, self.batches = Model(), list[list[NewJob]]()
        self.processes = {name: Process(self._register()) for name in ("one", "two")}
        self.submit("api", count, "default", 5, most, 0)

    def _everybody(self) -> dict[str, Session | Api]:
        return {**self.sessions, **self.apis}

    def _register(self) -> int:
        worker = leases.register(self.clerk, LONG_S, 1, "test", sorted(set(QUEUES)), ["square_sum"])
        self.model.workers[worker] = Worker()
        return worker

    def _end(self, name: str, *, commits: bool) -> None:
        self._everybody()[name].end(commits=commits)
        self.model.end(name, commits=commits)
        if name in self.processes:
            process = self.processes[name]
            process.claimed += process.claiming
            process.claiming = []

    def _do(self, name: str, work: Callable[[], T], how: tuple[bool, bool], waits_for: set[str]) -> tuple[T, bool]:
        """Do something in a session; returns whether it had to wait. It waits for those alone that have locked what it wants."""
        if not self.model.others(name):
            return work(), False
        return self._await(name, self.sessions[name], self.sessions[name].start(work), how, waits_for)

    def _await(self, name: str, session: Session | Api, future: "Future[T]", how: tuple[bool, bool], waits_for: set[str]) -> tuple[T, bool]:
        names = {one.pid: other for other, one in self._everybody().items()}

        def end(pid: int) -> None:
            assert names[pid] in waits_for, f"{name} waits for {names[pid]}"
            if names[pid] in self.model.open:
                self._end(names[pid], commits=how[0])

        return meet(self.storage, session, future, end)

    def _lockers(self, name: str, job_ids: set[str]) -> set[str]:
        return {other for other, one in self.model.others(name).items() if job_ids & set(one.jobs)}

    def _leave(self, name: str, how: tuple[bool, bool], *, waited: bool) -> None:
        """End the transaction of who has waited: it has locked also what it then found to be another's."""
        if waited and name in self.model.open:
            self._end(name, commits=how[1])

    # --- transactions

    def begin(self, name: str) -> None:
        if name not in self.model.open:
            self._everybody()[name].begin()
            self.model.open[name] = Open()

    def end(self, which: int, commits: bool) -> None:
        if names := sorted(self.model.open):
            self._end(names[which % len(names)], commits=commits)

    # --- jobs come

    def submit(self, name: str, count: int, queue: str, priority: int, most: int, late_s: float) -> None:
        batch = sorted(self.storage.new(count, queue=queue, priority=priority, max_attempts=most), key=lambda job: job.id)
        self.apis[name].insert(batch, late_s).result(10)
        self.batches.append(batch)
        self._stored(name, batch)
        if late_s > 0.5:
            (self.model.open[name].passed if name in self.model.open else self.model.passed).update(str(job.id) for job in batch)

    def _stored(self, name: str, batch: list[NewJob]) -> None:
        there = self.model.see(name)
        self.model.write(name, {str(job.id): Job(job.queue, job.max_attempts) for job in batch if str(job.id) not in there})

    def submit_again(self, name: str, which: int, how: tuple[bool, bool]) -> None:
        """The answer was lost: the same once more, which waits for the first one where that has not ended."""
        batch = self.batches[-1 - which % len(self.batches)]
        lockers = self._lockers(name, {str(job.id) for job in batch} - set(self.model.jobs))
        _, waited = self._await(name, self.apis[name], self.apis[name].insert(batch, 0), how, lockers)
        assert waited == bool(lockers)
        self._stored(name, batch)

    def cancel(self, name: str, which: int, how: tuple[bool, bool]) -> None:
        """A client cancels a job, in whatever state it is once nobody else has it locked."""
        known = sorted(self.model.see(name))
        if not known:
            return
        job_id = known[-1 - which % len(known)]
        told, waited = self._await(name, self.apis[name], self.apis[name].cancel(job_id), how, self._lockers(name, {job_id}))
        before = self.model.see(name)[job_id]
        after = before.cancel()
        assert told is after.state
        if before.state not in TERMINAL:
            self.model.write(name, {job_id: after})
        self._leave(name, how, waited=waited)

    def rerun(self, name: str, which: int, text: str | None, how: tuple[bool, bool]) -> None:
        """A client asks for another epoch: mostly of a job that may have one."""
        jobs = self.model.see(name)
        retryable = [job_id for job_id, job in jobs.items() if job.rerun(text) is not job]
        if known := sorted(retryable if which % 4 and retryable else jobs):
            self._rerun(name, known[-1 - which % len(known)], text, how)

    def _rerun(self, name: str, job_id: str, text: str | None, how: tuple[bool, bool]) -> None:
        """It waits for another such wish alone: a job that others are about to end has not ended."""
        lockers = {other for other, one in self.model.others(name).items() if job_id in one.rerun}
        told, waited = self._await(name, self.apis[name], self.apis[name].rerun(job_id, text), how, lockers)
        assert waited == bool(lockers)
        assert told is not None
        before = self.model.see(name)[job_id]
        after = before.rerun(text)
        assert told.epoch == (None if after is before else len(after.before))
        assert told.state is before.state or not {told.state, before.state} & {*TERMINAL, State.IN_PROGRESS}
        if name in self.model.open:
            self.model.open[name].rerun.add(job_id)
        if after is not before:
            self.model.write(name, {job_id: after}, moved=True)

    # --- jobs go

    def _look(self, name: str, queue: str) -> list[str]:
        """Return what a session sees waiting in a queue, in its order."""
        connection = self.sessions[name].connection
        connection._cursor.execute("SELECT id::text FROM live WHERE queue = %s AND worker IS NULL AND pos <= now() ORDER BY priority, pos, id", (queue,))
        return [row[0] for row in connection._cursor.fetchall()]

    def _works(self, name: str) -> bool:
        return self.model.worker(name, self.processes[name].id).works

    def claim(self, name: str, queue: str, wanted: int, **_prepared: bool) -> None:
        self._exchange(name, [], queue, wanted, (True, True))

    def settle_and_claim(self, name: str, which: int, stale: bool, queue: str, wanted: int, how: tuple[bool, bool]) -> None:
        self._exchange(name, self._pick(name, name, which, stale), queue, wanted, how)

    def _exchange(self, name: str, batch: list[tuple[int, ClaimedJob]], queue: str, wanted: int, how: tuple[bool, bool]) -> None:
        process, model, connection = self.processes[name], self.model, self.sessions[name].connection
        if name in model.open and not self._works(name):
            return  # it would lock what it may not take
        batch = [(worker, job) for worker, job in batch if worker == process.id]
        ended, order, before = _results(batch), self._look(name, queue), model.free(name, queue)
        fits = self._fits(name, batch)
        seen = {job_id for job_id, job in model.see(name).items() if job.state is State.PENDING}
        works = self._works(name)
        model.look(name)
        marks = process.marks.setdefault(queue, LowWaterMarks())
        (stood, taken), waited = self._do(
            name, lambda: claims.settle_and_claim(connection, process.id, ended, queue, marks, wanted), how, self._lockers(name, fits)
        )
        fits &= self._fits(name, batch)
        assert stood == len(fits)
        self._settled(name, {job.id: text for (_, job), text in zip(batch, ended.results, strict=True) if job.id in fits})
        after = model.free(name, queue)
        order = [job_id for job_id in order if job_id in before & after and job_id not in model.passed]
        got = ids(taken)
        if not works:
            assert got == [], "a worker whose lease has ended takes nothing"
            order = []
        assert len(got) == len(set(got)) <= wanted
        assert set(got) <= seen & after, "nobody has two of one job, nor one that is another's"
        kept = [job_id for job_id in got if job_id in order]
        assert waited or kept == order[: len(kept)], "in the order of the queue, and none left out"
        assert len(got) == wanted or set(kept) == set(order), "a short claim leaves nothing but what has been passed by"
        self._taken(name, taken)
        self._leave(name, how, waited=waited)

    def _taken(self, name: str, taken: list[ClaimedJob]) -> None:
        process, jobs = self.processes[name], self.model.see(name)
        now = {job.id: jobs[job.id].claim(process.id) for job in taken}
        assert [(job.attempt, job.released, job.max_attempts) for job in taken] == [(j.attempt, j.released, j.max_attempts) for j in now.values()]
        assert all(now[job.id].input in {None, job.input} for job in taken), "what a retry brought counts from then on"
        self.model.write(name, now)
        (process.claiming if name in self.model.open else process.claimed).extend((process.id, job) for job in taken)

    # --- attempts end

    def _pick(self, name: str, whose: str, which: int, stale: bool) -> list[tuple[int, ClaimedJob]]:
        """Choose among what a process holds, or among everything that it once did; each job at most once."""
        process = self.processes[whose]
        known = process.claimed + (process.claiming if name == whose else [])
        known = list({(worker, job.id, job.attempt): (worker, job) for worker, job in known}.values())  # of two epochs: it has settled before it claims again
        known = [one for one in known if stale or self._fits(name, [one])][-8:]
        if not known:
            return []
        last = known[which % len(known)]
        chosen = {job.id: (worker, job) for bit, (worker, job) in enumerate(known) if which >> bit & 1 and worker == last[0]}
        return list((chosen | {last[1].id: last}).values())

    def _fits(self, name: str, batch: list[tuple[int, ClaimedJob]]) -> set[str]:
        """Return what the fence lets through, as a session sees it."""
        jobs = self.model.see(name)
        return {job.id for worker, job in batch if job.id in jobs and jobs[job.id].held_by(worker, job.attempt)}

    def _settled(self, name: str, texts: dict[str, str]) -> None:
        jobs = self.model.see(name)
        self.model.write(name, {job_id: jobs[job_id].settle(text) for job_id, text in texts.items()})

    def finish(self, name: str, whose: str, which: int, stale: bool, what: str, how: tuple[bool, bool]) -> None:
        """End attempts that a process holds, or held once, by its own connection or by its parent's."""
        name = whose if name == "own" else name
        if batch := self._pick(name, whose, which, stale):
            self._end_attempts(name, batch, what, how)

    def _end_attempts(self, name: str, batch: list[tuple[int, ClaimedJob]], what: str, how: tuple[bool, bool]) -> None:
        batch = batch[:1] if what == "progress" else batch
        fits = self._fits(name, batch)
        stood, waited = self._do(name, lambda: self._write(name, batch, what), how, self._lockers(name, fits))
        after = self._fits(name, batch)
        jobs = self.model.see(name)
        if what == "settle":
            again = {job.id for worker, job in batch if jobs[job.id].succeeded_by(worker, job.attempt)} - after
            assert again <= stood, "a repeated settle is told that it stands"
            stood -= again
        assert fits & after <= stood <= after, "what the fence lets through is told, and nothing else"
        self._finished(name, stood, what, batch)
        self._leave(name, how, waited=waited)

    def _write(self, name: str, batch: list[tuple[int, ClaimedJob]], what: str) -> set[str]:
        connection, worker, jobs = self.sessions[name].connection, batch[0][0], [job for _, job in batch]
        if what == "settle":
            return claims.settle(connection, worker, _results(batch))
        if what == "progress":
            return {job.id for job in jobs if leases.report_progress(connection, worker, job.id, job.attempt, 0.5, "half")}
        policy = LATER if what == "later" else AT_ONCE
        with connection.transaction():
            return failures.write_decisions(connection, worker, [(job, decide(job, FAILURES[what], policy, 0.0)) for job in jobs])

    def _finished(self, name: str, stood: set[str], what: str, batch: list[tuple[int, ClaimedJob]]) -> None:
        jobs = self.model.see(name)
        if what == "settle":
            self._settled(name, {job.id: text for (_, job), text in zip(batch, _results(batch).results, strict=True) if job.id in stood})
        elif what == "progress":
            self.model.write(name, {job_id: jobs[job_id].touch() for job_id in stood})
        else:
            failure = FAILURES[what]
            now = {job_id: jobs[job_id].give_up(str(failure.outcome), failure.error_type, later=what == "later") for job_id in stood}
            self.model.write(name, now, moved=True)


def _results(batch: list[tuple[int, ClaimedJob]]) -> Results:
    """Return results that tell whose they are."""
    made = Results()
    for worker, job in batch:
        made.add(job, f'"{job.attempt} of {worker}"', 0.0)
    return made

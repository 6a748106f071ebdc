"""Calls of API clients, at the store and in the model: submit, cancel, manual retry."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize
from integration.store.support.machine.calls import Commits
from integration.store.support.machine.sessions import Process, SessionMachine
from integration.store.support.model import Job, Model

from common.domain.job import HeldWhile, NewJob, OnConflict, Options, Unique
from common.domain.states import TERMINAL, State


class ClientMachine(SessionMachine):
    """Clients that submit, cancel and retry jobs."""

    @initialize(count=st.integers(1, 4), max_attempts=st.integers(1, 3))
    def start(self, count: int, max_attempts: int) -> None:
        for session in self._all_sessions().values():
            session.reset()
        self.storage.rows("DELETE FROM live")
        self.storage.rows("DELETE FROM workers")
        self.storage.rows("DELETE FROM unique_keys")
        self.model, self.batches = Model(), list[list[NewJob]]()
        self.processes = {name: Process(self._register()) for name in ("one", "two")}
        self.submit("api", count, "default", 5, max_attempts, 0)

    def submit(self, session: str, count: int, queue: str, priority: int, max_attempts: int, late_s: float) -> None:
        """Submit jobs."""
        self._submit(
            session, self.storage.new(count, queue=queue, priority=priority, max_attempts=max_attempts), late_s
        )

    def submit_keyed(self, session: str, count: int, queue: str, priority: int, key: str) -> None:
        """Submit jobs with a key that each of them holds while it runs."""
        options = Options(unique=Unique(key, HeldWhile.RUNNING, OnConflict.REJECT))
        jobs = self.storage.new(count, queue=queue, priority=priority)
        self._submit(session, [replace(job, options=options) for job in jobs], 0)

    def _submit(self, session: str, jobs: list[NewJob], late_s: float) -> None:
        batch = sorted(jobs, key=lambda job: job.id)
        self.apis[session].insert(batch, late_s).result(10)
        self.batches.append(batch)
        self._insert_into_model(session, batch)
        if late_s > 0.5:
            (self.model.open[session].passed if session in self.model.open else self.model.passed).update(
                str(job.id) for job in batch
            )

    def _insert_into_model(self, session: str, batch: list[NewJob]) -> None:
        stored, parked = self.model.visible_jobs(session), self._parked(session)
        new = [(str(job.id), job) for job in batch if str(job.id) not in stored]
        keys = {job.id: job.options.unique.key for job in batch if job.options and job.options.unique}
        self.model.write(
            session,
            {
                job_id: Job(job.queue, job.max_attempts, key=keys.get(job.id), parked=job_id in parked)
                for job_id, job in new
            },
        )
        assert all(job.id in keys for job_id, job in new if job_id in parked)

    def submit_again(self, session: str, selector: int, commits: Commits) -> None:
        """Repeat a submission whose answer was lost. The first one blocks it until it has ended."""
        batch = self.batches[-1 - selector % len(self.batches)]
        lockers = self._lockers(session, {str(job.id) for job in batch} - set(self.model.jobs))
        _, blocked = self._await(session, self.apis[session], self.apis[session].insert(batch, 0), commits, lockers)
        assert blocked == bool(lockers)
        self._insert_into_model(session, batch)

    def cancel(self, session: str, selector: int, commits: Commits) -> None:
        """Cancel a job, in the state that it has once no other session locks it."""
        known = sorted(self.model.visible_jobs(session))
        if not known:
            return
        job_id = known[-1 - selector % len(known)]
        answer, blocked = self._await(
            session, self.apis[session], self.apis[session].cancel(job_id), commits, self._lockers(session, {job_id})
        )
        before = self.model.visible_jobs(session)[job_id]
        after = before.cancel()
        assert answer is after.state
        if before.state not in TERMINAL:
            self.model.write(session, {job_id: after})
        self._end_if_blocked(session, commits, blocked=blocked)

    def retry(self, session: str, selector: int, new_input: str | None, commits: Commits) -> None:
        """Retry a job by request: mostly one in a state that allows it."""
        jobs = self.model.visible_jobs(session)
        retryable = [job_id for job_id, job in jobs.items() if job.retry(new_input) is not job]
        if known := sorted(retryable if selector % 4 and retryable else jobs):
            self._retry(session, known[-1 - selector % len(known)], new_input, commits)

    def _retry(self, session: str, job_id: str, new_input: str | None, commits: Commits) -> None:
        """Retry a job. Only another manual retry blocks it: a job that others are about to end has not ended."""
        lockers = {other for other, transaction in self.model.others(session).items() if job_id in transaction.retried}
        answer, blocked = self._await(
            session, self.apis[session], self.apis[session].retry(job_id, new_input), commits, lockers
        )
        assert blocked == bool(lockers)
        assert answer is not None
        before = self.model.visible_jobs(session)[job_id]
        after = before.retry(new_input)
        assert answer.run == (None if after is before else len(after.earlier_runs))
        assert answer.state is before.state or not {answer.state, before.state} & {*TERMINAL, State.IN_PROGRESS}
        if session in self.model.open:
            self.model.open[session].retried.add(job_id)
        if after is not before:
            self.model.write(session, {job_id: after}, moved=True)

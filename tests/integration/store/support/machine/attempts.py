"""Attempts, at the store and in the model: claims, settles, and attempts that end without a result."""

from dataclasses import replace

from integration.store.support.machine.calls import Commits
from integration.store.support.machine.clients import ClientMachine
from integration.store.support.machine.sessions import Claims
from integration.store.support.storage import ids

from common.domain.decisions import RELEASED, AttemptOutcome, Failure, decide
from common.domain.job import ClaimedJob, RunningKey
from common.domain.retry import RetryPolicy
from common.domain.states import State
from common.store.jobs import claims, failures, running_keys
from common.store.workers import leases
from common.store.workers.low_water_marks import LowWaterMarks
from common.store.workers.results import Results

AT_ONCE, LATER = RetryPolicy(base_s=0, cap_s=0), RetryPolicy(base_s=3_600, cap_s=3_600)
FAILURES = {
    "release": RELEASED,
    "error": Failure(AttemptOutcome.ERROR, "RuntimeError", "it went wrong"),
    "later": Failure(AttemptOutcome.ERROR, "RuntimeError", "it went wrong"),
    "permanent": Failure(AttemptOutcome.PERMANENT, "ValueError", "it cannot be"),
    "timeout": Failure(AttemptOutcome.TIMEOUT, "timeout", "took too long"),
}


class AttemptMachine(ClientMachine):
    """Worker processes that claim jobs and end attempts."""

    # --- claims

    def claim(self, session: str, queue: str, limit: int, **_prepared: bool) -> None:
        self._settle_and_claim(session, [], queue, limit, (True, True))

    def settle_and_claim(
        self, session: str, selector: int, stale: bool, queue: str, limit: int, commits: Commits
    ) -> None:
        self._settle_and_claim(session, self._select(session, session, selector, stale), queue, limit, commits)

    def _settle_and_claim(self, session: str, batch: Claims, queue: str, limit: int, commits: Commits) -> None:
        process, model, connection = self.processes[session], self.model, self.sessions[session].connection
        if session in model.open and not self._works(session):
            return  # it would lock rows that it may not claim
        batch = [(worker, job) for worker, job in batch if worker == process.id]
        settled, order, before = _results(batch), self._due(session, queue), model.claimable(session, queue)
        fits = self._unfenced(session, batch)
        pending = {job_id for job_id, job in model.visible_jobs(session).items() if job.state is State.PENDING}
        works = self._works(session)
        model.scan(session)
        marks = process.marks.setdefault(queue, LowWaterMarks())
        (count, jobs), blocked = self._run(
            session,
            lambda: claims.settle_and_claim(connection, process.id, settled, queue, marks, limit),
            commits,
            self._lockers(session, fits),
        )
        fits &= self._unfenced(session, batch)
        assert count == len(fits)
        self._settle_in_model(
            session, {job.id: text for (_, job), text in zip(batch, settled.results, strict=True) if job.id in fits}
        )
        after = model.claimable(session, queue)
        order = [job_id for job_id in order if job_id in before & after and job_id not in model.passed]
        claimed = ids(jobs)
        if not works:
            assert claimed == [], "a worker whose lease has ended claims nothing"
            order = []
        assert len(claimed) == len(set(claimed)) <= limit
        assert set(claimed) <= pending & after, "no job is claimed twice, or held by another worker"
        in_order = [job_id for job_id in claimed if job_id in order]
        assert blocked or in_order == order[: len(in_order)], "in the order of the queue, and no job skipped"
        assert len(claimed) == limit or set(in_order) == set(order), "a short claim leaves only passed jobs"
        self._claim_in_model(session, jobs)
        self._end_if_blocked(session, commits, blocked=blocked)

    def _due(self, session: str, queue: str) -> list[str]:
        """Return the due jobs of a queue that a session sees, in their order."""
        connection = self.sessions[session].connection
        connection._cursor.execute(
            """SELECT id::text FROM live WHERE queue = %s AND worker IS NULL AND claimable_at <= now()
               ORDER BY priority, claimable_at, id""",
            (queue,),
        )
        return [row[0] for row in connection._cursor.fetchall()]

    def _works(self, session: str) -> bool:
        return self.model.worker(session, self.processes[session].id).works

    def _claim_in_model(self, session: str, claimed: list[ClaimedJob]) -> None:
        process, jobs = self.processes[session], self.model.visible_jobs(session)
        now = {job.id: jobs[job.id].claim(process.id) for job in claimed}
        assert [(job.attempt, job.released, job.max_attempts) for job in claimed] == [
            (job.attempt, job.released, job.max_attempts) for job in now.values()
        ]
        assert all(now[job.id].input in {None, job.input} for job in claimed), "the input of a manual retry stays"
        self.model.write(session, now)
        (process.claiming if session in self.model.open else process.claimed).extend(
            (process.id, job) for job in claimed
        )

    # --- keys that are held while a job runs

    def take(self, session: str, selector: int, stale: bool) -> None:
        """Take the key of a claimed job, or park the job, unless another session has locked what that changes.

        A locked row is the subject of `test_running_keys.py`.
        """
        model, process = self.model, self.processes[session]
        jobs = model.visible_jobs(session)
        selected = self._select(session, session, selector, stale)
        batch = [(worker, job) for worker, job in selected if worker == process.id and jobs[job.id].key][:1]
        if not batch:
            return
        ((worker, job),) = batch
        key, holder = str(jobs[job.id].key), model.holder(session, str(jobs[job.id].key))
        if {job.id, holder} & model.locked(session) or any(
            key in other.holders for other in model.others(session).values()
        ):
            return
        fits, before = self._unfenced(session, batch), self._parked(session)
        taken, _ = self._run(
            session,
            lambda: running_keys.take(self.sessions[session].connection, worker, job, RunningKey(1, key)),
            (True, True),
            set(),
        )
        assert taken == (holder in {None, job.id}), "two running jobs never hold one key"
        held = model.open[session].holders if session in model.open else model.holders
        held[key] = job.id if taken else str(holder)
        if not taken:
            jobs = model.visible_jobs(session)
            with_it = self._parked(session) - before - {job.id}
            assert with_it <= model.claimable(session, jobs[job.id].queue)
            assert {jobs[job_id].key for job_id in with_it} <= {key}
            model.write(session, {job_id: replace(jobs[job_id], parked=True) for job_id in with_it})
            model.write(session, {job_id: jobs[job_id].park() for job_id in fits}, moved=True)
            assert fits <= self._parked(session) | {job_id for job_id in fits if jobs[job_id].cancel_requested}

    def wake(self, session: str, in_turn: bool) -> None:
        """Wake parked jobs, as the process that frees a key does, or as the controller. Nothing blocks that."""
        model, connection = self.model, self.sessions[session].connection
        jobs, before = model.visible_jobs(session), self._parked(session)
        assert before == {job_id for job_id, job in jobs.items() if job.parked}
        work = (
            (lambda: running_keys.wake_in_turn(connection, running_keys.NO_GROUP, 100)[0])
            if in_turn
            else (lambda: len(running_keys.wake(connection, [RunningKey(1, "a"), RunningKey(1, "b")])))
        )
        count, _ = self._run(session, work, (True, True), set())
        woken = before - self._parked(session)
        groups = {(jobs[job_id].key, jobs[job_id].queue) for job_id in woken}
        assert count == len(woken) == len(groups), "one of each group"
        assert not woken & model.locked(session)
        for key, queue in {(job.key, job.queue) for job in jobs.values() if job.parked}:
            group = {job_id: job for job_id, job in jobs.items() if (job.key, job.queue) == (key, queue)}
            is_held = model.holder(session, str(key)) is not None
            assert not (is_held and (key, queue) in groups), "a job of a held key is not woken"
            in_queue = [
                job for job in group.values() if job.state in {State.PENDING, State.IN_PROGRESS} and not job.parked
            ]
            parked = {job_id for job_id, job in group.items() if job.parked} - model.locked(session)
            assert (key, queue) in groups or is_held or in_queue or not parked, "one of a free key is woken"
        model.write(session, {job_id: replace(jobs[job_id].touch(), parked=False) for job_id in woken}, moved=True)

    # --- ends of attempts

    def _select(self, session: str, process_name: str, selector: int, stale: bool) -> Claims:
        """Select claims that a process holds, or `stale`: has ever made; each job at most once."""
        process = self.processes[process_name]
        known = process.claimed + (process.claiming if session == process_name else [])
        # Attempts of two runs may have the same number: the process has settled the first before it claims the second.
        known = list({(worker, job.id, job.attempt): (worker, job) for worker, job in known}.values())
        known = [claim for claim in known if stale or self._unfenced(session, [claim])][-8:]
        if not known:
            return []
        last = known[selector % len(known)]
        selected = {
            job.id: (worker, job)
            for bit, (worker, job) in enumerate(known)
            if selector >> bit & 1 and worker == last[0]
        }
        return list((selected | {last[1].id: last}).values())

    def _unfenced(self, session: str, batch: Claims) -> set[str]:
        """Return the jobs of claims that the fence lets write, as a session sees them."""
        jobs = self.model.visible_jobs(session)
        return {job.id for worker, job in batch if job.id in jobs and jobs[job.id].held_by(worker, job.attempt)}

    def _settle_in_model(self, session: str, results: dict[str, str]) -> None:
        jobs = self.model.visible_jobs(session)
        self.model.write(session, {job_id: jobs[job_id].settle(result) for job_id, result in results.items()})

    def finish(self, session: str, process: str, selector: int, stale: bool, ending: str, commits: Commits) -> None:
        """End attempts that a process holds or has held, on its own connection or on its parent's."""
        session = process if session == "own" else session
        if batch := self._select(session, process, selector, stale):
            self._end_attempts(session, batch, ending, commits)

    def _end_attempts(self, session: str, batch: Claims, ending: str, commits: Commits) -> None:
        batch = batch[:1] if ending == "progress" else batch
        fits = self._unfenced(session, batch)
        written, blocked = self._run(
            session, lambda: self._write(session, batch, ending), commits, self._lockers(session, fits)
        )
        after = self._unfenced(session, batch)
        jobs = self.model.visible_jobs(session)
        if ending == "settle":
            again = {job.id for worker, job in batch if jobs[job.id].succeeded_by(worker, job.attempt)} - after
            assert again <= written, "a repeated settle counts as settled"
            written -= again
        assert fits & after <= written <= after, "only unfenced writes are reported, and all of them"
        self._end_in_model(session, written, ending, batch)
        self._end_if_blocked(session, commits, blocked=blocked)

    def _write(self, session: str, batch: Claims, ending: str) -> set[str]:
        connection, worker, jobs = self.sessions[session].connection, batch[0][0], [job for _, job in batch]
        if ending == "settle":
            return claims.settle(connection, worker, _results(batch))
        if ending == "progress":
            return {
                job.id for job in jobs if leases.report_progress(connection, worker, job.id, job.attempt, 0.5, "half")
            }
        policy = LATER if ending == "later" else AT_ONCE
        with connection.transaction():
            return failures.write_decisions(
                connection, worker, [(job, decide(job, FAILURES[ending], policy, 0.0)) for job in jobs]
            )

    def _end_in_model(self, session: str, written: set[str], ending: str, batch: Claims) -> None:
        jobs = self.model.visible_jobs(session)
        if ending == "settle":
            results = zip(batch, _results(batch).results, strict=True)
            self._settle_in_model(session, {job.id: result for (_, job), result in results if job.id in written})
        elif ending == "progress":
            self.model.write(session, {job_id: jobs[job_id].touch() for job_id in written})
        else:
            failure = FAILURES[ending]
            now = {
                job_id: jobs[job_id].give_up(str(failure.outcome), failure.error_type, later=ending == "later")
                for job_id in written
            }
            self.model.write(session, now, moved=True)


def _results(batch: Claims) -> Results:
    """Return results that name their attempt and worker."""
    results = Results()
    for worker, job in batch:
        results.add(job, f'"{job.attempt} of {worker}"', 0.0)
    return results

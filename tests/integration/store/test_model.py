"""The store against a model: in whatever order sessions act beside each other, each job ends exactly once."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from integration.store.support.machine.calls import QUEUES
from integration.store.support.machine.races import RaceMachine
from integration.store.support.sessions import Api, Loop, Session
from integration.store.support.storage import Storage

from common.domain.states import TERMINAL, State
from common.store.jobs import reads
from common.store.queues import queue_state
from common.store.workers import leases

EXAMPLES = int(os.environ.get("JOBPROC_EXAMPLES", "30"))  # generated runs; 500 for a change of the SQL
STATES = """
SELECT s.id::text, s.status, s.attempt, coalesce(l.released, o.released), s.rev, s.worker, s.result::text, s.error_type,
       (l.id IS NOT NULL)::int + (SELECT count(*) FROM outcomes x WHERE x.id = s.id),
       ARRAY(SELECT run || ' ' || status || ' ' || rev FROM outcomes x
             WHERE x.id = s.id AND x.run < s.run ORDER BY run),
       ARRAY(SELECT run || ' ' || attempt || ' ' || outcome || ' ' || worker FROM attempts a
             WHERE a.id = s.id ORDER BY run, attempt)
FROM job_states s LEFT JOIN live l ON l.id = s.id LEFT JOIN outcomes o ON o.id = s.id AND o.run = s.run
WHERE s.id = ANY(%s::uuid[])
"""


class StoreMachine(RaceMachine):
    """The invariants after each call, and at the end."""

    @invariant()
    def store_equals_the_model(self) -> None:
        self._check_jobs()
        self._check_queues()
        self._check_leases()

    def _check_jobs(self) -> None:
        ids = [str(job.id) for batch in self.batches for job in batch]
        states = {row[0]: row[1:] for row in self.storage.rows(STATES, (ids,))}
        assert states == {
            job_id: (
                *(job.state, job.attempt, job.released, job.rev, job.worker, job.result, job.error, len(job.runs)),
                [f"{number} {run.state} {run.rev}" for number, run in enumerate(job.earlier_runs)],
                [
                    f"{number} {attempt} {outcome} {worker}"
                    for number, run in enumerate(job.runs)
                    for attempt, outcome, worker in run.past_attempts
                ],
            )
            for job_id, job in self.model.jobs.items()
        }

    def _check_queues(self) -> None:
        depths = queue_state.depth(self.observer, 1_000)
        known = {"default"} if all(worker.ended for worker in self.model.workers.values()) else set(QUEUES)
        assert depths == {queue: self.model.depth(queue) for queue in known}
        waiting = {
            job_id: job.queue
            for job_id, job in self.model.jobs.items()
            if job.state is State.PENDING and not job.parked
        }
        due = set(queue_state.due_queues(self.observer))
        assert (
            {queue for job_id, queue in waiting.items() if job_id not in self.model.passed} & known
            <= due
            <= set(waiting.values())
        )

    def _check_leases(self) -> None:
        alive = sum(worker.works for worker in self.model.workers.values())
        assert queue_state.workers_alive(self.observer) == (dict.fromkeys(QUEUES, alive) if alive else {})
        assert leases.expired_workers(self.observer, 100) == self.model.expired("")
        assert sorted(leases.orphaned_workers(self.observer, 100)) == self.model.orphaned("")

    def teardown(self) -> None:
        """End all jobs. Workers go on from their own low-water marks, so passed jobs must be requeued."""
        if not hasattr(self, "model") or sys.exc_info()[0]:
            return
        for number, session in enumerate(sorted(self.model.open)):
            self._end(session, commits=number % 2 == 0)
        for worker in set(self.model.workers) - {process.id for process in self.processes.values()}:
            self._expire(worker)
        for orphans in (False, True):
            self.rescue("controller", orphans=orphans)
        if not any(self._works(name) for name in self.processes):
            self.register("one")
        self.end_delays(1)
        # Claim, publish the marks, requeue; requeued jobs are claimed in the next round, and parked ones one after the
        # other.
        for _ in range(3 + sum(job.parked for job in self.model.jobs.values())):
            for name in ("one", "two"):
                self._finish_all(name)
            self.requeue_strays(full=True)
            self.wake("controller", in_turn=True)
        unfinished = {job_id for job_id, job in self.model.jobs.items() if job.state not in TERMINAL}
        assert unfinished == set(), "every job ends"
        self.store_equals_the_model()
        self._check_history()

    def _check_history(self) -> None:
        """Check that each attempt has one record, in order, and that clients get the result of the last one."""
        for job_id, job in self.model.jobs.items():
            record = self.apis["api"].run(partial(reads.job, tenant=1, job_id=UUID(job_id), limit=1_000))
            assert record is not None
            history = reads.ended_attempts(record)
            assert [(attempt["run"], attempt["attempt"]) for attempt in history] == [
                (number, attempt) for number, run in enumerate(job.runs) for attempt in range(1, run.attempt + 1)
            ]
            assert [attempt["outcome"] for attempt in history] == [
                outcome
                for run in job.runs
                for outcome in [
                    *(outcome for _, outcome, _ in run.past_attempts),
                    *[run.state.lower()] * (run.worker is not None),
                ]
            ]
            result = self.apis["api"].run(partial(reads.result, tenant=1, job_id=UUID(job_id)))
            assert result is not None
            assert (result.revision.status, result.text) == (job.state, job.result)


@pytest.fixture
def machine(storage: Storage) -> Iterator[type[StoreMachine]]:
    class Case(StoreMachine):
        pass

    # The test does not crash the server.
    storage.rows(f"ALTER DATABASE {storage.value('SELECT current_database()')} SET synchronous_commit = off")
    loop = Loop()
    Case.storage, Case.observer = storage, storage.connection()
    Case.sessions = {name: Session(storage) for name in ("one", "two", "parent", "controller")}
    Case.apis = {name: Api(storage, loop) for name in ("api", "twin")}
    yield Case
    for session in Case.sessions.values():
        session.close()
    for api in Case.apis.values():
        api.close()
    loop.close()


@pytest.mark.timeout(600 + 10 * EXAMPLES)  # a failure is shrunk first
def test_each_job_ends_once_whatever_sessions_do_at_the_same_time(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

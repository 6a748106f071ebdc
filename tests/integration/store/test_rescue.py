"""Rescue of jobs of lost workers, whether crashed or only slow: each job is retried once, beside settles and claims."""

import pytest
from integration.store.support.storage import Claimer, Storage, ids, results

from common.domain.decisions import WORKER_LOST, Retry
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, failures
from common.store.workers import leases
from worker.controller.rescue import Rescue

AT_ONCE = {"square_sum": OperationSpec("square_sum", retry=RetryPolicy(3, 0, 0))}


def _rescue(connection: WorkerConnection) -> int:
    return Rescue(3).lost_workers(connection, AT_ONCE)


def _rescue_by_hand(connection: WorkerConnection, worker: int) -> int:
    """Rescue in the caller's transaction. Returns how many jobs were retried."""
    assert leases.expired_workers(connection, 10) == [worker]
    held = [job for job, _ in failures.lock_held(connection, worker, 100)]
    assert failures.write_decisions(connection, worker, [(job, Retry(WORKER_LOST, 0)) for job in held]) == set(
        ids(held)
    )
    assert leases.end_lease(connection, worker)
    return len(held)


def _lost_claimer(storage: Storage, count: int = 3) -> Claimer:
    claimer = storage.claimer()
    storage.submit(count)
    assert len(claimer.claim()) == count
    claimer.expire()
    return claimer


def test_a_live_worker_that_has_lost_its_lease_claims_nothing_and_changes_nothing(storage: Storage) -> None:
    lost, heir = storage.claimer(), storage.claimer()
    storage.submit(2)
    jobs = lost.claim()
    storage.submit(1)
    lost.expire()
    assert lost.claim() == [], "no claim after the end of the lease, rescued or not"
    assert not lost.renew(), "no renewal either"
    assert _rescue(storage.connection(by_index=False)) == 2
    assert lost.claim() == []
    claimed = heir.claim()
    assert set(ids(jobs)) < set(ids(claimed))
    assert claims.settle_and_claim(lost.connection, lost.id, results(jobs), "default", lost.marks, 10) == (0, [])
    assert not leases.report_progress(lost.connection, lost.id, jobs[0].id, 1, 0.5, None)
    assert heir.settle(claimed) == set(ids(claimed))
    assert {storage.state(job.id) for job in claimed} == {"SUCCESS"}


def test_a_settle_after_the_end_of_the_lease_counts_until_the_rescue(storage: Storage) -> None:
    """The job is done, and no other worker has it yet."""
    lost = storage.claimer()
    storage.submit(1)
    jobs = lost.claim()
    lost.expire()
    assert lost.settle(jobs) == set(ids(jobs))
    assert _rescue(storage.connection(by_index=False)) == 0
    assert storage.state(jobs[0].id) == "SUCCESS"


def test_a_job_with_an_uncommitted_settle_is_not_rescued(storage: Storage) -> None:
    lost = storage.claimer()
    storage.submit(2)
    jobs = lost.claim()
    lost.expire()
    with lost.connection.transaction():
        lost.settle(jobs)
        assert _rescue(storage.connection(by_index=False)) == 0, "the rescue does not wait for the settle"
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS"] * 2
    assert leases.orphaned_workers(lost.connection, 10) == []


def test_a_job_whose_settle_rolls_back_beside_a_rescue_is_rescued_by_the_next_one(storage: Storage) -> None:
    lost = storage.claimer()
    storage.submit(2)
    jobs = lost.claim()
    lost.expire()
    controller = storage.connection(by_index=False)

    def settle_and_roll_back() -> None:
        with lost.connection.transaction():
            assert lost.settle(jobs) == set(ids(jobs))
            assert _rescue(controller) == 0
            raise InterruptedError

    with pytest.raises(InterruptedError):
        settle_and_roll_back()
    assert [storage.state(job.id) for job in jobs] == ["IN_PROGRESS"] * 2
    assert _rescue(controller) + Rescue(3).orphaned_jobs(controller, AT_ONCE) == 2
    assert _rescue(controller) + Rescue(3).orphaned_jobs(controller, AT_ONCE) == 0
    assert set(ids(storage.claimer().claim())) == set(ids(jobs))


def test_a_settle_waits_for_an_uncommitted_rescue_and_is_fenced(storage: Storage) -> None:
    lost, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit(2)
    jobs = lost.claim()
    lost.expire()
    with controller.transaction():
        assert _rescue_by_hand(controller, lost.id) == 2
        late_settle = storage.begin(
            lambda: claims.settle_and_claim(lost.connection, lost.id, results(jobs), "default", lost.marks, 1)
        )
        storage.until_blocked(lost.pid, by=controller.driver_connection.info.backend_pid)
    assert late_settle.result(10) == (0, [])
    assert [storage.state(job.id) for job in jobs] == ["PENDING"] * 2


def test_two_controllers_rescue_a_worker_once(storage: Storage) -> None:
    lost = _lost_claimer(storage)
    first, second = storage.connection(by_index=False), storage.connection(by_index=False)
    with first.transaction():
        assert _rescue_by_hand(first, lost.id) == 3
        assert _rescue(second) == 0
    assert _rescue(second) == 0
    assert Rescue(3).orphaned_jobs(second, AT_ONCE) == 0
    assert storage.rows("SELECT count(*), min(outcome), max(attempt) FROM attempts") == [(3, "lost", 1)]


def test_a_claim_that_commits_after_the_rescue_of_its_worker_is_orphaned_and_rescued(storage: Storage) -> None:
    lost, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit(2)
    with lost.connection.transaction():
        jobs = lost.claim()
        lost.expire()
        assert _rescue(controller) == 0
    assert [storage.state(job.id) for job in jobs] == ["IN_PROGRESS"] * 2
    assert _rescue(controller) == 0
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE) == 2
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE) == 0
    heir = storage.claimer()
    assert [(job.id, job.attempt) for job in heir.claim()] == [(job.id, 2) for job in jobs]


def test_jobs_of_a_worker_whose_row_was_deleted_are_orphaned_too(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(1)
    claimer.claim()
    storage.rows("DELETE FROM workers")
    controller = storage.connection(by_index=False)
    assert leases.orphaned_workers(controller, 10) == [claimer.id]
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE) == 1


def test_a_rescued_job_is_charged_and_fails_with_its_last_attempt(storage: Storage) -> None:
    controller = storage.connection(by_index=False)
    (job_id,) = storage.submit(max_attempts=2)
    for _ in range(2):
        lost = storage.claimer()
        assert ids(lost.claim()) == [job_id]
        lost.expire()
        assert _rescue(controller) == 1
    assert storage.rows("SELECT status, attempt, error_type FROM job_states") == [("FAILED", 2, "worker_lost")]
    assert storage.rows("SELECT attempt, outcome, error_type FROM attempts") == [(1, "lost", "worker_lost")]


def test_more_jobs_than_one_transaction_rescues_are_all_rescued(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.controller.rescue.MAX_JOBS", 10)
    _lost_claimer(storage, 25)
    controller = storage.connection(by_index=False)
    assert [_rescue(controller) for _ in range(4)] == [10, 10, 5, 0]
    assert storage.value("SELECT count(*) FROM live WHERE worker IS NULL") == 25


def test_one_row_that_cannot_be_rescued_does_not_block_the_others(storage: Storage) -> None:
    """A batch that fails on one bad row is rescued row by row; the job of the bad row fails with a code."""
    lost = _lost_claimer(storage, 5)
    bad = storage.value("SELECT min(id::text) FROM live")
    storage.rows(  # the attempt is stored already: PostgreSQL refuses it a second time
        """INSERT INTO attempts (id, run, attempt, worker, started_at, retry_at, outcome, error_type, error_text)
           VALUES (%s, 0, 1, 0, now(), now(), 'lost', '', '')""",
        (bad,),
    )
    controller = storage.connection(by_index=False)
    assert _rescue(controller) == 5
    assert storage.value("SELECT count(*) FROM live WHERE worker IS NULL") == 4
    assert storage.state(bad) == "FAILED"
    assert failures.lock_held(controller, lost.id, 10) == []

"""Workers that are gone, or only believed to be: what they held is given to others once, whatever crosses it."""

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
    return Rescue(3).lost_workers(connection, AT_ONCE)[0]


def _rescue_by_hand(connection: WorkerConnection, worker: int) -> int:
    """Do what a rescue does, in the caller's transaction; returns how many jobs were given back."""
    assert leases.expired_workers(connection, 10) == [worker]
    held = [job for job, _ in failures.lock_held(connection, worker, 100)]
    assert failures.write_decisions(connection, worker, [(job, Retry(WORKER_LOST, 0)) for job in held]) == set(ids(held))
    assert leases.end_lease(connection, worker)
    return len(held)


def _lost(storage: Storage, count: int = 3) -> Claimer:
    claimer = storage.claimer()
    storage.submit(count)
    assert len(claimer.claim()) == count
    claimer.expire()
    return claimer


def test_a_worker_that_is_declared_dead_but_lives_gets_nothing_and_changes_nothing(storage: Storage) -> None:
    dead, heir = storage.claimer(), storage.claimer()
    storage.submit(2)
    jobs = dead.claim()
    storage.submit(1)
    dead.expire()
    assert dead.claim() == [], "no claim after the end of the lease, rescued or not"
    assert not dead.publish(), "no renewal either"
    assert _rescue(storage.connection(by_index=False)) == 2
    assert dead.claim() == []
    taken = heir.claim()
    assert set(ids(jobs)) < set(ids(taken))
    assert claims.settle_and_claim(dead.connection, dead.id, results(jobs), "default", dead.marks, 10) == (0, [])
    assert not leases.report_progress(dead.connection, dead.id, jobs[0].id, 1, 0.5, None)
    assert heir.settle(taken) == set(ids(taken))
    assert {storage.state(job.id) for job in taken} == {"SUCCESS"}


def test_a_settle_before_the_rescue_stands_although_the_lease_has_run_out(storage: Storage) -> None:
    """The work is done and nobody else has it yet."""
    dead = storage.claimer()
    storage.submit(1)
    jobs = dead.claim()
    dead.expire()
    assert dead.settle(jobs) == set(ids(jobs))
    assert _rescue(storage.connection(by_index=False)) == 0
    assert storage.state(jobs[0].id) == "SUCCESS"


def test_a_settle_under_way_is_not_rescued(storage: Storage) -> None:
    dead = storage.claimer()
    storage.submit(2)
    jobs = dead.claim()
    dead.expire()
    with dead.connection.transaction():
        dead.settle(jobs)
        assert _rescue(storage.connection(by_index=False)) == 0, "the rescue does not wait for it"
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS"] * 2
    assert leases.orphaned_workers(dead.connection, 10) == []


def test_a_settle_that_is_rolled_back_beside_a_rescue_is_taken_care_of_by_the_next_look(storage: Storage) -> None:
    dead = storage.claimer()
    storage.submit(2)
    jobs = dead.claim()
    dead.expire()
    controller = storage.connection(by_index=False)

    def settle_in_vain() -> None:
        with dead.connection.transaction():
            assert dead.settle(jobs) == set(ids(jobs))
            assert _rescue(controller) == 0
            raise InterruptedError

    with pytest.raises(InterruptedError):
        settle_in_vain()
    assert [storage.state(job.id) for job in jobs] == ["IN_PROGRESS"] * 2
    assert _rescue(controller) + Rescue(3).orphaned_jobs(controller, AT_ONCE)[0] == 2
    assert _rescue(controller) + Rescue(3).orphaned_jobs(controller, AT_ONCE)[0] == 0
    assert set(ids(storage.claimer().claim())) == set(ids(jobs))


def test_a_settle_waits_for_a_rescue_under_way_and_is_refused(storage: Storage) -> None:
    dead, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit(2)
    jobs = dead.claim()
    dead.expire()
    with controller.transaction():
        assert _rescue_by_hand(controller, dead.id) == 2
        late = storage.begin(lambda: claims.settle_and_claim(dead.connection, dead.id, results(jobs), "default", dead.marks, 1))
        storage.until_blocked(dead.pid, by=controller.driver_connection.info.backend_pid)
    assert late.result(10) == (0, [])
    assert [storage.state(job.id) for job in jobs] == ["PENDING"] * 2


def test_two_controllers_rescue_a_worker_once(storage: Storage) -> None:
    dead = _lost(storage)
    one, other = storage.connection(by_index=False), storage.connection(by_index=False)
    with one.transaction():
        assert _rescue_by_hand(one, dead.id) == 3
        assert _rescue(other) == 0
    assert _rescue(other) == 0
    assert Rescue(3).orphaned_jobs(other, AT_ONCE)[0] == 0
    assert storage.rows("SELECT count(*), min(ended), max(attempt) FROM attempts") == [(3, "lost", 1)]


def test_a_claim_that_commits_after_its_worker_was_rescued_is_a_leftover(storage: Storage) -> None:
    dead, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit(2)
    with dead.connection.transaction():
        jobs = dead.claim()
        dead.expire()
        assert _rescue(controller) == 0
    assert [storage.state(job.id) for job in jobs] == ["IN_PROGRESS"] * 2
    assert _rescue(controller) == 0
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE) == (2, {"default"})
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE)[0] == 0
    heir = storage.claimer()
    assert [(job.id, job.attempt) for job in heir.claim()] == [(job.id, 2) for job in jobs]


def test_jobs_of_a_worker_that_has_been_forgotten_are_leftovers_too(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(1)
    claimer.claim()
    storage.rows("DELETE FROM workers")
    controller = storage.connection(by_index=False)
    assert leases.orphaned_workers(controller, 10) == [claimer.id]
    assert Rescue(3).orphaned_jobs(controller, AT_ONCE)[0] == 1


def test_a_rescued_job_is_charged_and_fails_with_its_last_attempt(storage: Storage) -> None:
    controller = storage.connection(by_index=False)
    (job_id,) = storage.submit(max_attempts=2)
    for _ in range(2):
        dead = storage.claimer()
        assert ids(dead.claim()) == [job_id]
        dead.expire()
        assert _rescue(controller) == 1
    assert storage.rows("SELECT status, attempt, error_type FROM job_states") == [("FAILED", 2, "worker_lost")]
    assert storage.rows("SELECT attempt, ended, error_type FROM attempts") == [(1, "lost", "worker_lost")]


def test_more_jobs_than_one_transaction_gives_back_are_all_given_back(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.controller.rescue.MOST_JOBS", 10)
    _lost(storage, 25)
    controller = storage.connection(by_index=False)
    assert [_rescue(controller) for _ in range(4)] == [10, 10, 5, 0]
    assert storage.one("SELECT count(*) FROM live WHERE worker IS NULL") == 25


def test_one_row_that_cannot_be_given_back_does_not_keep_the_others(storage: Storage) -> None:
    """A batch that fails on one bad row falls back to rows; the bad one fails with a code."""
    dead = _lost(storage, 5)
    bad = storage.one("SELECT min(id::text) FROM live")
    storage.rows(  # the record of the attempt is there already: writing it again is refused
        """INSERT INTO attempts (id, epoch, attempt, worker, started_at, retry_at, ended, error_type, error_text)
           VALUES (%s, 0, 1, 0, now(), now(), 'lost', '', '')""",
        (bad,),
    )
    controller = storage.connection(by_index=False)
    assert _rescue(controller) == 5
    assert storage.one("SELECT count(*) FROM live WHERE worker IS NULL") == 4
    assert storage.state(bad) == "FAILED"
    assert failures.lock_held(controller, dead.id, 10) == []

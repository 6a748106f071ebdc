"""Fences: only the attempt that holds a row changes it. Settles that come too late, twice, or at the same time."""

import pytest
from integration.store.support.storage import ERROR, LOST, RELEASE, Claimer, Storage, ids, results, retry_after

from common.domain.decisions import Decision, Fail
from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, failures
from common.store.workers import leases

DECISIONS = [
    pytest.param(retry_after(0), id="retry"),
    pytest.param(RELEASE, id="release"),
    pytest.param(LOST, id="fail"),
    pytest.param(Fail(ERROR), id="error"),
]


def _fenced_claimer(storage: Storage, by: Decision) -> tuple[Claimer, list[ClaimedJob]]:
    """Return a claimer and the jobs that it believes to hold, after another session has ended their attempts."""
    slow = storage.claimer()
    storage.submit(3)
    jobs = slow.claim()
    other = storage.connection(by_index=False)
    with other.transaction():
        assert failures.write_decisions(other, slow.id, [(job, by) for job in jobs]) == set(ids(jobs))
    return slow, jobs


@pytest.mark.parametrize("by", DECISIONS)
def test_a_late_settle_with_a_claim_is_fenced(storage: Storage, by: Decision) -> None:
    slow, jobs = _fenced_claimer(storage, by)
    before = storage.rows("SELECT id, status, attempt, error_type FROM job_states ORDER BY id")
    count, _ = claims.settle_and_claim(slow.connection, slow.id, results(jobs), "other", slow.marks, 1)
    assert count == 0
    assert storage.rows("SELECT id, status, attempt, error_type FROM job_states ORDER BY id") == before
    assert storage.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 0


@pytest.mark.parametrize("by", DECISIONS)
def test_a_late_settle_without_a_claim_is_fenced(storage: Storage, by: Decision) -> None:
    """The attempt was lost, released or failed. Its late result is not stored."""
    slow, jobs = _fenced_claimer(storage, by)
    assert slow.settle(jobs) == set()
    assert storage.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 0


def test_the_second_attempt_settles_and_the_late_first_one_is_fenced(storage: Storage) -> None:
    slow, jobs = _fenced_claimer(storage, retry_after(0))
    quick = storage.claimer()
    again = quick.claim()
    assert [job.attempt for job in again] == [2, 2, 2]
    claims.settle_and_claim(slow.connection, slow.id, results(jobs, '"late"'), "other", slow.marks, 1)
    assert slow.write(jobs, Fail(ERROR)) == set()
    assert quick.settle(again, '"right"') == set(ids(again))
    claims.settle_and_claim(slow.connection, slow.id, results(jobs, '"later"'), "other", slow.marks, 1)
    assert storage.rows("SELECT DISTINCT status, attempt, result::text, worker FROM outcomes") == [
        ("SUCCESS", 2, '"right"', quick.id)
    ]


def test_an_earlier_attempt_of_the_same_worker_is_fenced_too(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    first = claimer.claim()
    claimer.write(first, RELEASE)
    second = claimer.claim()
    assert ids(first) == ids(second)
    assert claims.settle_and_claim(claimer.connection, claimer.id, results(first), "other", claimer.marks, 1)[0] == 0
    assert claimer.settle(second) == set(ids(second))


def test_progress_is_stored_only_by_the_attempt_that_holds_the_job(storage: Storage) -> None:
    slow, jobs = _fenced_claimer(storage, retry_after(0))
    again = storage.claimer().claim()[0]
    assert not leases.report_progress(slow.connection, slow.id, jobs[0].id, jobs[0].attempt, 0.9, "late")
    assert not leases.report_progress(slow.connection, slow.id, again.id, again.attempt, 0.9, "the other's attempt")
    assert storage.value("SELECT count(*) FROM live WHERE progress IS NOT NULL") == 0


def test_progress_is_cleared_with_the_end_of_its_attempt(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    job = claimer.claim()[0]
    assert leases.report_progress(claimer.connection, claimer.id, job_id, job.attempt, 0.25, "a quarter")
    assert storage.rows("SELECT progress, progress_text FROM job_states") == [(0.25, "a quarter")]
    claimer.write([job], RELEASE)
    assert storage.rows("SELECT progress, progress_text FROM job_states") == [(None, None)]


def test_a_settle_repeated_after_a_lost_response_counts_as_settled(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    assert claimer.settle(jobs[:2]) == set(ids(jobs[:2]))
    assert claimer.settle(jobs) == set(ids(jobs))
    assert claimer.settle(jobs, "15.0") == set(ids(jobs))
    assert storage.rows("SELECT count(*), min(result::text), max(result::text) FROM outcomes") == [(3, "14.0", "14.0")]


def test_ends_of_attempts_written_by_an_earlier_try_are_recognised(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    failed, retried, running = claimer.claim()
    claimer.write([failed], Fail(ERROR))
    claimer.write([retried], retry_after(60))
    jobs = [failed, retried, running]
    settled = failures.settled_before(claimer.connection, claimer.id, ids(jobs), [job.attempt for job in jobs])
    assert settled == {failed.id, retried.id}
    other = storage.claimer()
    assert failures.settled_before(other.connection, other.id, ids(jobs), [job.attempt for job in jobs]) == set()


ENDINGS = [pytest.param(None, id="settle"), *DECISIONS[1:]]


@pytest.mark.parametrize("decision", ENDINGS)
def test_overlapping_batches_lock_in_the_order_of_ids_and_one_of_them_is_written(
    storage: Storage, decision: Decision | None
) -> None:
    """Both lock the first id first, in any order of their batches. A session that waits for it holds no other row."""
    storage.fill(3_000, "clock_timestamp() + interval '1 hour'")  # so that the planner uses an index
    claimer, twin = storage.claimer(), storage.connection()
    first, second = storage.submit(2)
    jobs = claimer.claim()

    def finish(connection: WorkerConnection, batch: list[ClaimedJob]) -> set[str]:
        with connection.transaction():
            if decision is None:
                return {row[0] for row in connection.run(claims.SETTLE, (claimer.id, *results(batch).arguments()))}
            return failures.write_decisions(connection, claimer.id, [(job, decision) for job in batch])

    gate = storage.session()
    gate.cursor().execute("SELECT FROM live WHERE id = %s FOR UPDATE", (first,))
    first_batch = storage.begin(lambda: finish(claimer.connection, jobs))
    second_batch = storage.begin(lambda: finish(twin, jobs[::-1]))
    for connection in (claimer.connection, twin):
        storage.until_blocked(connection.driver_connection.info.backend_pid)
    assert storage.rows("SELECT id FROM live WHERE id = %s FOR UPDATE NOWAIT", (second,)), (
        "neither session holds the second row"
    )
    gate.rollback()
    written = [first_batch.result(10), second_batch.result(10)]
    assert sorted(written, key=len) == [set(), {first, second}]


def test_running_attempts_are_taken_over_by_the_next_id_of_their_process(storage: Storage) -> None:
    """The new id settles them and the old one no longer can. Attempts that have ended are not taken over."""
    before, after, other = storage.claimer(), storage.claimer(), storage.claimer()
    storage.submit(4)
    running, ended, lost, unnamed = before.claim()
    before.settle([ended])
    before.write([lost], RELEASE)
    again = other.claim()
    assert ids(again) == [lost.id]
    rev = storage.value("SELECT rev FROM live WHERE id = %s", (running.id,))
    assert leases.take_over(
        after.connection, after.id, [before.id], [(job.id, job.attempt) for job in (running, ended, lost)]
    ) == {running.id}
    assert storage.value("SELECT rev FROM live WHERE id = %s", (running.id,)) == rev + 1
    assert before.settle([running]) == set()
    assert after.settle([running]) == {running.id}
    assert other.settle(again) == {lost.id}
    assert before.settle([unnamed]) == {unnamed.id}
    assert leases.take_over(after.connection, after.id, [before.id], []) == set()

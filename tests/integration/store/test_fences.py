"""Only the attempt that owns a row changes it: settles and endings that come too late, twice, or at the same time."""

import pytest
from integration.store.support.storage import BACK, ERROR, LOST, Claimer, Storage, ids, results, retry_after

from common.domain.decisions import Decision, Fail
from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import claims, failures
from common.store.workers import leases

GIVEN_UP = [pytest.param(retry_after(0), id="retry"), pytest.param(BACK, id="release"), pytest.param(LOST, id="fail"), pytest.param(Fail(ERROR), id="error")]


def _taken_away(storage: Storage, by: Decision) -> tuple[Claimer, list[ClaimedJob]]:
    """Return a claimer and jobs that it still believes in, after somebody else has written another end of its attempts."""
    slow = storage.claimer()
    storage.submit(3)
    jobs = slow.claim()
    other = storage.connection(by_index=False)
    with other.transaction():
        assert failures.write_decisions(other, slow.id, [(job, by) for job in jobs]) == set(ids(jobs))
    return slow, jobs


@pytest.mark.parametrize("by", GIVEN_UP)
def test_a_late_settle_changes_nothing_and_is_counted_as_refused_when_it_claims_too(storage: Storage, by: Decision) -> None:
    slow, jobs = _taken_away(storage, by)
    before = storage.rows("SELECT id, status, attempt, error_type FROM job_states ORDER BY id")
    stood, _ = claims.settle_and_claim(slow.connection, slow.id, results(jobs), "other", slow.marks, 1)
    assert stood == 0
    assert storage.rows("SELECT id, status, attempt, error_type FROM job_states ORDER BY id") == before
    assert storage.one("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 0


@pytest.mark.parametrize("by", GIVEN_UP)
def test_a_late_settle_changes_nothing_and_is_counted_as_refused_when_it_is_the_last(storage: Storage, by: Decision) -> None:
    """An attempt that was lost, given back or failed has a record, but its late result is not in it."""
    slow, jobs = _taken_away(storage, by)
    assert slow.settle(jobs) == set()
    assert storage.one("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 0


def test_the_second_attempt_wins_over_the_first_one_that_comes_back(storage: Storage) -> None:
    slow, jobs = _taken_away(storage, retry_after(0))
    quick = storage.claimer()
    again = quick.claim()
    assert [job.attempt for job in again] == [2, 2, 2]
    claims.settle_and_claim(slow.connection, slow.id, results(jobs, '"late"'), "other", slow.marks, 1)
    assert slow.write(jobs, Fail(ERROR)) == set()
    assert quick.settle(again, '"right"') == set(ids(again))
    claims.settle_and_claim(slow.connection, slow.id, results(jobs, '"later"'), "other", slow.marks, 1)
    assert storage.rows("SELECT DISTINCT status, attempt, result::text, worker FROM outcomes") == [("SUCCESS", 2, '"right"', quick.id)]


def test_an_earlier_attempt_of_the_same_worker_is_refused_too(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    first = claimer.claim()
    claimer.write(first, BACK)
    second = claimer.claim()
    assert ids(first) == ids(second)
    assert claims.settle_and_claim(claimer.connection, claimer.id, results(first), "other", claimer.marks, 1)[0] == 0
    assert claimer.settle(second) == set(ids(second))


def test_progress_is_stored_only_by_the_attempt_that_owns_the_job(storage: Storage) -> None:
    slow, jobs = _taken_away(storage, retry_after(0))
    again = storage.claimer().claim()[0]
    assert not leases.report_progress(slow.connection, slow.id, jobs[0].id, jobs[0].attempt, 0.9, "late")
    assert not leases.report_progress(slow.connection, slow.id, again.id, again.attempt, 0.9, "the other's attempt")
    assert storage.one("SELECT count(*) FROM live WHERE progress IS NOT NULL") == 0


def test_progress_goes_with_its_attempt(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    job = claimer.claim()[0]
    assert leases.report_progress(claimer.connection, claimer.id, job_id, job.attempt, 0.25, "a quarter")
    assert storage.rows("SELECT progress, progress_text FROM job_states") == [(0.25, "a quarter")]
    claimer.write([job], BACK)
    assert storage.rows("SELECT progress, progress_text FROM job_states") == [(None, None)]


def test_a_settle_that_is_repeated_after_a_lost_answer_counts_as_settled(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    assert claimer.settle(jobs[:2]) == set(ids(jobs[:2]))
    assert claimer.settle(jobs) == set(ids(jobs))
    assert claimer.settle(jobs, "15.0") == set(ids(jobs))
    assert storage.rows("SELECT count(*), min(result::text), max(result::text) FROM outcomes") == [(3, "14.0", "14.0")]


def test_endings_that_an_earlier_try_wrote_are_found_again(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    failed, retried, running = claimer.claim()
    claimer.write([failed], Fail(ERROR))
    claimer.write([retried], retry_after(60))
    everything = [failed, retried, running]
    found = claims.settled_before(claimer.connection, claimer.id, ids(everything), [job.attempt for job in everything])
    assert found == {failed.id, retried.id}
    other = storage.claimer()
    assert claims.settled_before(other.connection, other.id, ids(everything), [job.attempt for job in everything]) == set()


ENDS = [pytest.param(None, id="settle"), *GIVEN_UP[1:]]


@pytest.mark.parametrize("end", ENDS)
def test_overlapping_batches_lock_in_the_order_of_ids_and_one_of_them_stands(storage: Storage, end: Decision | None) -> None:
    """Both come to the first id first, in whatever order their batches are: whoever waits there holds nothing else."""
    storage.fill(3_000, "clock_timestamp() + interval '1 hour'")  # so that it takes a table that is not tiny to find them
    claimer, twin = storage.claimer(), storage.connection()
    first, second = storage.submit(2)
    jobs = claimer.claim()

    def finish(connection: WorkerConnection, batch: list[ClaimedJob]) -> set[str]:
        with connection.transaction():
            if end is None:
                return {row[0] for row in connection.run(claims.SETTLE, (claimer.id, *results(batch).arguments()))}
            return failures.write_decisions(connection, claimer.id, [(job, end) for job in batch])

    gate = storage.session()
    gate.cursor().execute("SELECT FROM live WHERE id = %s FOR UPDATE", (first,))
    one = storage.begin(lambda: finish(claimer.connection, jobs))
    other = storage.begin(lambda: finish(twin, jobs[::-1]))
    for connection in (claimer.connection, twin):
        storage.until_blocked(connection.driver_connection.info.backend_pid)
    assert storage.rows("SELECT id FROM live WHERE id = %s FOR UPDATE NOWAIT", (second,)), "nobody holds the second"
    gate.rollback()
    stood = [one.result(10), other.result(10)]
    assert sorted(stood, key=len) == [set(), {first, second}]


def test_what_goes_on_running_is_taken_over_where_it_is_still_held_in_that_attempt(storage: Storage) -> None:
    """By the next id of its process, which settles it; the id before has it no longer."""
    before, after, other = storage.claimer(), storage.claimer(), storage.claimer()
    storage.submit(4)
    running, ended, lost, unnamed = before.claim()
    before.settle([ended])
    before.write([lost], BACK)
    again = other.claim()
    assert ids(again) == [lost.id]
    rev = storage.one("SELECT rev FROM live WHERE id = %s", (running.id,))
    assert leases.take_over(after.connection, after.id, [before.id], [(job.id, job.attempt) for job in (running, ended, lost)]) == {running.id}
    assert storage.one("SELECT rev FROM live WHERE id = %s", (running.id,)) == rev + 1
    assert before.settle([running]) == set()
    assert after.settle([running]) == {running.id}
    assert other.settle(again) == {lost.id}
    assert before.settle([unnamed]) == {unnamed.id}
    assert leases.take_over(after.connection, after.id, [before.id], []) == set()

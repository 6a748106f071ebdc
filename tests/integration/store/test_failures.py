"""Attempts that end without a result: retry, release, fail, and their records."""

from datetime import timedelta

import psycopg2
import pytest
from integration.store.support.storage import ERROR, LOST, RELEASE, Storage, ids, results, retry_after
from rig.system import until

from common.domain.decisions import AttemptOutcome, Decision, Fail, Failure, Retry
from common.domain.job import ClaimedJob
from common.store.jobs import claims, failures, reads

TIMEOUT = Failure(AttemptOutcome.TIMEOUT, "timeout", "took too long")
ODD = "quote ' double \" back \\ slash, {braces}, comma, NULL, %s, é, \U0001f980, line\nbreak, tab\t"


def test_mixed_decisions_are_written_in_one_transaction(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(5)
    settled, failed, retried, released, timed_out = claimer.claim()
    decisions: list[tuple[ClaimedJob, Decision]] = [
        (released, RELEASE),
        (failed, Fail(ERROR)),
        (timed_out, Retry(TIMEOUT, 60)),
        (retried, retry_after(0)),
    ]
    with claimer.connection.transaction():
        written = failures.write_decisions(claimer.connection, claimer.id, decisions)
        count, _ = claims.settle_and_claim(
            claimer.connection, claimer.id, results([settled]), "other", claimer.marks, 1
        )
    assert count == 1
    assert written == {job.id for job, _ in decisions}
    assert storage.state(settled.id) == "SUCCESS"
    assert storage.state(failed.id) == "FAILED"
    assert storage.state(retried.id) == "PENDING"
    assert storage.state(released.id) == "PENDING"
    assert storage.state(timed_out.id) == "RETRYING"
    assert storage.rows("SELECT id::text, outcome FROM attempts ORDER BY id") == [
        (retried.id, "error"),
        (released.id, "released"),
        (timed_out.id, "timeout"),
    ]
    assert storage.rows("SELECT id::text, error_type, error_text, result::text FROM outcomes ORDER BY id") == [
        (settled.id, None, None, "14.0"),
        (failed.id, "RuntimeError", "it went wrong", None),
    ]


def test_decisions_roll_back_with_their_transaction(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    before = storage.rows("SELECT * FROM live ORDER BY id")

    def end_attempts() -> None:
        with claimer.connection.transaction():
            failures.write_decisions(
                claimer.connection, claimer.id, [(jobs[0], Fail(ERROR)), (jobs[1], retry_after(0))]
            )
            claims.settle_and_claim(
                claimer.connection, claimer.id, results([jobs[2]], "NaN"), "default", claimer.marks, 1
            )

    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        end_attempts()
    assert storage.rows("SELECT * FROM live ORDER BY id") == before
    assert storage.value("SELECT (SELECT count(*) FROM outcomes) + (SELECT count(*) FROM attempts)") == 0
    assert claimer.settle(jobs) == set(ids(jobs)), "the connection stays usable"


def test_of_mixed_decisions_only_fenced_ones_are_not_written(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(4)
    gone, failed, retried, lost = claimer.claim()
    claimer.settle([gone])
    storage.rows("UPDATE live SET worker = worker + 1 WHERE id = %s", (lost.id,))
    with claimer.connection.transaction():
        written = failures.write_decisions(
            claimer.connection,
            claimer.id,
            [(job, Fail(ERROR)) for job in (gone, failed)] + [(job, RELEASE) for job in (retried, lost)],
        )
    assert written == {failed.id, retried.id}
    assert storage.state(gone.id) == "SUCCESS"
    assert storage.state(lost.id) == "IN_PROGRESS"
    assert storage.value("SELECT count(*) FROM attempts") == 1


def test_an_empty_batch_writes_nothing(storage: Storage) -> None:
    claimer = storage.claimer()
    assert failures.write_decisions(claimer.connection, claimer.id, []) == set()
    assert claimer.settle([]) == set()


def test_a_retried_attempt_is_stored_with_its_outcome_and_the_time_of_the_retry(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    before, started = storage.rows("SELECT clock_timestamp(), started_at FROM live")[0]
    claimer.write([job], Retry(TIMEOUT, 30))
    after, claimable_at = storage.rows("SELECT clock_timestamp(), claimable_at FROM live")[0]
    (attempt,) = storage.rows(
        "SELECT run, attempt, worker, started_at, outcome, error_type, error_text, finished_at, retry_at FROM attempts"
    )
    assert attempt[:7] == (0, 1, claimer.id, started, "timeout", "timeout", "took too long")
    finished_at, retry_at = attempt[7:]
    assert before <= finished_at <= after
    assert before + timedelta(seconds=30) <= retry_at <= after + timedelta(seconds=30)
    assert retry_at == claimable_at
    assert storage.rows("SELECT worker, started_at, attempt, released FROM live") == [(None, None, 1, 0)]


def test_a_job_is_claimed_after_its_delay_and_not_before(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.submit()
    began = storage.value("SELECT clock_timestamp()")
    claimer.write(claimer.claim(), retry_after(0.3))
    assert [claimer.claim(), other.claim()] == [[], []]
    assert storage.value("SELECT status FROM job_states") == "RETRYING"
    (again,) = until("the delay is over", other.claim)
    assert again.attempt == 2
    assert storage.value("SELECT started_at FROM live") - began >= timedelta(seconds=0.3)


def test_a_released_attempt_is_not_charged_and_its_job_is_due_at_once(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(max_attempts=2)
    for released in range(5):
        (job,) = claimer.claim()
        assert (job.attempt, job.released, job.charged) == (released + 1, released, 1)
        before = storage.value("SELECT clock_timestamp()")
        claimer.write([job], RELEASE)
        assert before <= storage.value("SELECT claimable_at FROM live") <= storage.value("SELECT clock_timestamp()")
    assert storage.state(job_id) == "PENDING"
    (job,) = claimer.claim()
    claimer.write([job], retry_after(0))
    (job,) = claimer.claim()
    assert job.charged == 2
    assert storage.value("SELECT count(*) FILTER (WHERE outcome = 'released') FROM attempts") == 5


def test_error_texts_tracebacks_and_results_are_stored_unchanged(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(4)
    failed, retried, settled, settled_null = claimer.claim()
    odd = Failure(AttemptOutcome.ERROR, "Odd, {type}", ODD, traceback=f"Traceback\n{ODD}")
    claimer.write([failed], Fail(odd))
    claimer.write([retried], Retry(odd, 0))
    result = '{"text": "{[,]} \\u0000 \\" \U0001f980", "number": 1e400, "kept":1,  "kept":2}'
    claimer.settle([settled], result)
    claimer.settle([settled_null], "null")
    stored = [("Odd, {type}", ODD, f"Traceback\n{ODD}")]
    assert storage.rows("SELECT error_type, error_text, traceback FROM outcomes WHERE status = 'FAILED'") == stored
    assert storage.rows("SELECT error_type, error_text, traceback FROM attempts") == stored
    assert storage.rows("SELECT result::text FROM outcomes WHERE status = 'SUCCESS' ORDER BY id") == [
        (result,),
        ("null",),
    ]


@pytest.mark.parametrize("bad", ["NaN", "[" * 100_000 + "]" * 100_000, "{'a': 1}", "", "1e"])
def test_a_result_that_postgresql_refuses_rolls_back_its_batch_and_its_job_can_be_failed(
    storage: Storage, bad: str
) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    batch = results(jobs[:1])
    batch.add(jobs[1], bad, 0.0)
    batch.add(jobs[2], "16.0", 0.0)
    with pytest.raises(psycopg2.Error) as refused:
        claims.settle(claimer.connection, claimer.id, batch)
    assert not isinstance(refused.value, psycopg2.InterfaceError)
    assert storage.value("SELECT count(*) FROM outcomes") == 0
    assert claimer.settle([jobs[0], jobs[2]]) == {jobs[0].id, jobs[2].id}
    assert claimer.write([jobs[1]], Fail(Failure(AttemptOutcome.PERMANENT, "result_not_stored", "refused"))) == {
        jobs[1].id
    }
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS", "FAILED", "SUCCESS"]


def test_the_attempts_of_a_job_are_read_in_order(storage: Storage) -> None:
    first, second = storage.claimer(), storage.claimer()
    (new,) = storage.new()
    storage.store([new])
    first.write(first.claim(), retry_after(0))
    second.write(second.claim(), RELEASE)
    first.write(first.claim(), LOST)
    record = storage.api(lambda connection: reads.job(connection, 1, new.id))
    assert record is not None
    history = reads.ended_attempts(record)
    assert [
        (attempt["attempt"], attempt["worker"], attempt["outcome"], attempt["error_type"]) for attempt in history
    ] == [
        (1, first.id, "error", "RuntimeError"),
        (2, second.id, "released", "released"),
        (3, first.id, "failed", "worker_lost"),
    ]
    assert all(attempt["started_at"] <= attempt["finished_at"] for attempt in history)
    last = storage.api(lambda connection: reads.job(connection, 1, new.id, 1))
    assert last is not None
    assert reads.ended_attempts(last) == history[1:], (
        "the last retried or released attempt, and the one that ended the job"
    )


def test_a_revision_never_repeats(storage: Storage) -> None:
    """Each change that a client can see has a greater revision than the one before."""
    claimer = storage.claimer()
    storage.submit()
    revisions = [storage.value("SELECT rev FROM job_states")]
    for decision in (retry_after(0), RELEASE, Fail(ERROR)):
        jobs = claimer.claim()
        revisions.append(storage.value("SELECT rev FROM job_states"))
        claimer.write(jobs, decision)
        revisions.append(storage.value("SELECT rev FROM job_states"))
    assert revisions == sorted(set(revisions))

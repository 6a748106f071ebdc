"""What is written of attempts that gave no result."""

from datetime import timedelta

import psycopg2
import pytest
from integration.store.support.storage import BACK, ERROR, LOST, Storage, ids, results, retry_after
from rig.system import until

from common.domain.decisions import AttemptOutcome, Decision, Fail, Failure, Retry
from common.domain.job import ClaimedJob
from common.store.jobs import claims, failures, reads

TIMEOUT = Failure(AttemptOutcome.TIMEOUT, "timeout", "took too long")
ODD = "quote ' double \" back \\ slash, {braces}, comma, NULL, %s, é, \U0001f980, line\nbreak, tab\t"


def test_mixed_decisions_are_written_together_and_each_job_goes_its_way(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(5)
    settled, failed, retried, released, timed_out = claimer.claim()
    decided: list[tuple[ClaimedJob, Decision]] = [(released, BACK), (failed, Fail(ERROR)), (timed_out, Retry(TIMEOUT, 60)), (retried, retry_after(0))]
    with claimer.connection.transaction():
        stood = failures.write_decisions(claimer.connection, claimer.id, decided)
        count, _ = claims.settle_and_claim(claimer.connection, claimer.id, results([settled]), "other", claimer.marks, 1)
    assert count == 1
    assert stood == {job.id for job, _ in decided}
    assert storage.state(settled.id) == "SUCCESS"
    assert storage.state(failed.id) == "FAILED"
    assert storage.state(retried.id) == "PENDING"
    assert storage.state(released.id) == "PENDING"
    assert storage.state(timed_out.id) == "RETRYING"
    assert storage.rows("SELECT id::text, ended FROM attempts ORDER BY id") == [(retried.id, "error"), (released.id, "released"), (timed_out.id, "timeout")]
    assert storage.rows("SELECT id::text, error_type, error_text, result::text FROM outcomes ORDER BY id") == [
        (settled.id, None, None, "14.0"),
        (failed.id, "RuntimeError", "it went wrong", None),
    ]


def test_decisions_stand_or_fall_with_their_transaction(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    before = storage.rows("SELECT * FROM live ORDER BY id")

    def exchange() -> None:
        with claimer.connection.transaction():
            failures.write_decisions(claimer.connection, claimer.id, [(jobs[0], Fail(ERROR)), (jobs[1], retry_after(0))])
            claims.settle_and_claim(claimer.connection, claimer.id, results([jobs[2]], "NaN"), "default", claimer.marks, 1)

    with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        exchange()
    assert storage.rows("SELECT * FROM live ORDER BY id") == before
    assert storage.one("SELECT (SELECT count(*) FROM outcomes) + (SELECT count(*) FROM attempts)") == 0
    assert claimer.settle(jobs) == set(ids(jobs)), "the connection is usable afterwards"


def test_of_mixed_decisions_only_the_fenced_ones_are_left_out(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(4)
    gone, failed, retried, lost = claimer.claim()
    claimer.settle([gone])
    storage.rows("UPDATE live SET worker = worker + 1 WHERE id = %s", (lost.id,))
    with claimer.connection.transaction():
        stood = failures.write_decisions(
            claimer.connection, claimer.id, [(job, Fail(ERROR)) for job in (gone, failed)] + [(job, BACK) for job in (retried, lost)]
        )
    assert stood == {failed.id, retried.id}
    assert storage.state(gone.id) == "SUCCESS"
    assert storage.state(lost.id) == "IN_PROGRESS"
    assert storage.one("SELECT count(*) FROM attempts") == 1


def test_nothing_decided_is_nothing_written(storage: Storage) -> None:
    claimer = storage.claimer()
    assert failures.write_decisions(claimer.connection, claimer.id, []) == set()
    assert claimer.settle([]) == set()


def test_an_attempt_that_is_retried_is_kept_with_how_it_ended_and_when_it_may_run_again(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    before, started = storage.rows("SELECT clock_timestamp(), started_at FROM live")[0]
    claimer.write([job], Retry(TIMEOUT, 30))
    after, pos = storage.rows("SELECT clock_timestamp(), pos FROM live")[0]
    (kept,) = storage.rows("SELECT epoch, attempt, worker, started_at, ended, error_type, error_text, ended_at, retry_at FROM attempts")
    assert kept[:7] == (0, 1, claimer.id, started, "timeout", "timeout", "took too long")
    ended_at, retry_at = kept[7:]
    assert before <= ended_at <= after
    assert before + timedelta(seconds=30) <= retry_at <= after + timedelta(seconds=30)
    assert retry_at == pos
    assert storage.rows("SELECT worker, started_at, attempt, released FROM live") == [(None, None, 1, 0)]


def test_a_job_is_not_claimed_before_its_delay_and_is_after_it(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.submit()
    began = storage.one("SELECT clock_timestamp()")
    claimer.write(claimer.claim(), retry_after(0.3))
    assert [claimer.claim(), other.claim()] == [[], []]
    assert storage.one("SELECT status FROM job_states") == "RETRYING"
    (again,) = until("the delay is over", other.claim)
    assert again.attempt == 2
    assert storage.one("SELECT started_at FROM live") - began >= timedelta(seconds=0.3)


def test_a_release_is_not_charged_and_starts_at_once(storage: Storage) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(max_attempts=2)
    for released in range(5):
        (job,) = claimer.claim()
        assert (job.attempt, job.released, job.charged) == (released + 1, released, 1)
        before = storage.one("SELECT clock_timestamp()")
        claimer.write([job], BACK)
        assert before <= storage.one("SELECT pos FROM live") <= storage.one("SELECT clock_timestamp()")
    assert storage.state(job_id) == "PENDING"
    (job,) = claimer.claim()
    claimer.write([job], retry_after(0))
    (job,) = claimer.claim()
    assert job.charged == 2
    assert storage.one("SELECT count(*) FILTER (WHERE ended = 'released') FROM attempts") == 5


def test_texts_and_results_are_kept_to_the_letter(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(4)
    failed, retried, settled, nothing = claimer.claim()
    odd = Failure(AttemptOutcome.ERROR, "Odd, {type}", ODD)
    claimer.write([failed], Fail(odd))
    claimer.write([retried], Retry(odd, 0))
    result = '{"text": "{[,]} \\u0000 \\" \U0001f980", "number": 1e400, "kept":1,  "kept":2}'
    claimer.settle([settled], result)
    claimer.settle([nothing], "null")
    assert storage.rows("SELECT error_type, error_text FROM outcomes WHERE status = 'FAILED'") == [("Odd, {type}", ODD)]
    assert storage.rows("SELECT error_type, error_text FROM attempts") == [("Odd, {type}", ODD)]
    assert storage.rows("SELECT result::text FROM outcomes WHERE status = 'SUCCESS' ORDER BY id") == [(result,), ("null",)]


@pytest.mark.parametrize("bad", ["NaN", "[" * 100_000 + "]" * 100_000, "{'a': 1}", "", "1e"])
def test_a_result_that_postgresql_refuses_stores_nothing_of_its_batch_and_alone_can_be_failed(storage: Storage, bad: str) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    jobs = claimer.claim()
    batch = results(jobs[:1])
    batch.add(jobs[1], bad, 0.0)
    batch.add(jobs[2], "16.0", 0.0)
    with pytest.raises(psycopg2.Error) as refused:
        claims.settle(claimer.connection, claimer.id, batch)
    assert not isinstance(refused.value, psycopg2.InterfaceError)
    assert storage.one("SELECT count(*) FROM outcomes") == 0
    assert claimer.settle([jobs[0], jobs[2]]) == {jobs[0].id, jobs[2].id}
    assert claimer.write([jobs[1]], Fail(Failure(AttemptOutcome.PERMANENT, "result_not_stored", "refused"))) == {jobs[1].id}
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS", "FAILED", "SUCCESS"]


def test_the_history_of_a_job_is_read_in_its_order(storage: Storage) -> None:
    first, second = storage.claimer(), storage.claimer()
    (new,) = storage.new()
    storage.store([new])
    first.write(first.claim(), retry_after(0))
    second.write(second.claim(), BACK)
    first.write(first.claim(), LOST)
    whole = storage.api(lambda connection: reads.job(connection, new.id))
    assert whole is not None
    history = reads.ended_attempts(whole)
    assert [(one["attempt"], one["worker"], one["ended"], one["error_type"]) for one in history] == [
        (1, first.id, "error", "RuntimeError"),
        (2, second.id, "released", "released"),
        (3, first.id, "failed", "worker_lost"),
    ]
    assert all(one["started_at"] <= one["ended_at"] for one in history)
    last = storage.api(lambda connection: reads.job(connection, new.id, 1))
    assert last is not None
    assert reads.ended_attempts(last) == history[1:], "the last one that gave way, and the one that ended it"


def test_a_revision_never_repeats(storage: Storage) -> None:
    """Each change that a client can see has a revision of its own, and they grow."""
    claimer = storage.claimer()
    storage.submit()
    revisions = [storage.one("SELECT rev FROM job_states")]
    for decision in (retry_after(0), BACK, Fail(ERROR)):
        jobs = claimer.claim()
        revisions.append(storage.one("SELECT rev FROM job_states"))
        claimer.write(jobs, decision)
        revisions.append(storage.one("SELECT rev FROM job_states"))
    assert revisions == sorted(set(revisions))

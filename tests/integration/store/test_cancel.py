"""Cancel: what it does to a job in each state, and beside whatever else happens to it, in both orders."""

import pytest
from integration.store.support.clients import ENDS, Client, end
from integration.store.support.storage import Storage, ids, retry_after

from common.domain.decisions import WORKER_LOST, Retry
from common.domain.states import State
from common.store.jobs import cancel_retry, claims, failures, running_keys
from common.store.workers import leases


def test_a_job_that_waits_is_cancelled_at_once_and_never_claimed(storage: Storage, client: Client) -> None:
    pending, scheduled, retrying = storage.submit(3)
    claimer = storage.claimer()
    storage.rows("UPDATE live SET pos = pos + interval '1 hour' WHERE id = %s OR id = %s", (pending, scheduled))
    claimer.write(claimer.claim(), retry_after(60))
    storage.rows("UPDATE live SET pos = clock_timestamp() WHERE id = %s", (pending,))
    assert [storage.state(job) for job in (pending, scheduled, retrying)] == ["PENDING", "SCHEDULED", "RETRYING"]
    assert [client.cancel(job).result(10) for job in (pending, scheduled, retrying)] == [State.CANCELLED] * 3
    assert claimer.claim() == []
    rows = storage.rows("SELECT epoch, attempt, released, status, started_at, worker, result, error_type FROM outcomes ORDER BY id")
    assert rows == [(0, attempt, 0, "CANCELLED", None, None, None, None) for attempt in (0, 0, 1)]
    assert storage.one("SELECT count(*) FROM live") == 0


def test_a_job_that_runs_is_asked_to_stop_and_asking_again_changes_nothing(storage: Storage, client: Client) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    before = storage.one("SELECT rev FROM live")
    assert [client.cancel(job.id).result(10) for _ in range(3)] == [State.IN_PROGRESS] * 3
    assert storage.rows("SELECT cancel, rev, worker FROM live") == [(True, before + 1, claimer.id)]
    assert storage.state(job.id) == "IN_PROGRESS"


@pytest.mark.parametrize("how", ENDS)
def test_a_job_that_was_asked_to_stop_ends_cancelled_whatever_its_attempt_leads_to(storage: Storage, client: Client, how: str) -> None:
    claimer = storage.claimer()
    storage.submit(2)
    job, neighbour = claimer.claim()
    client.cancel(job.id).result(10)
    with claimer.connection.transaction():
        assert end(claimer, [job, neighbour], how) == {job.id, neighbour.id}
    assert storage.rows("SELECT attempt, released, status, result, error_type, worker FROM outcomes WHERE id = %s", (job.id,)) == [
        (1, 0, "CANCELLED", None, None, claimer.id)
    ]
    assert storage.one("SELECT count(*) FROM attempts WHERE id = %s", (job.id,)) == 0
    assert storage.state(neighbour.id) != "CANCELLED"
    assert client.cancel(job.id).result(10) is State.CANCELLED


@pytest.mark.parametrize(("how", "state"), [("settle", State.SUCCESS), ("fail", State.FAILED)])
def test_a_job_that_has_ended_stays_as_it_is(storage: Storage, client: Client, how: str, state: State) -> None:
    claimer = storage.claimer()
    storage.submit()
    jobs = claimer.claim()
    with claimer.connection.transaction():
        end(claimer, jobs, how)
    before = storage.rows("SELECT * FROM outcomes")
    assert [client.cancel(jobs[0].id).result(10) for _ in range(2)] == [state] * 2
    assert storage.rows("SELECT * FROM outcomes") == before


def test_what_is_not_there_is_not_found(storage: Storage, client: Client) -> None:
    (new,) = storage.new()
    assert client.cancel(str(new.id)).result(10) is None
    assert client.rerun(str(new.id)).result(10) is None
    assert client.do(cancel_retry.operation_name(client.connection, new.id)).result(10) is None


@pytest.mark.parametrize("commits", [True, False])
def test_a_cancel_waits_for_a_claim_under_way_and_asks_it_to_stop(storage: Storage, client: Client, commits: bool) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    claimer.connection._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    answer = client.cancel(job_id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert answer.result(10) is (State.IN_PROGRESS if commits else State.CANCELLED)
    assert storage.rows("SELECT cancel FROM live") == ([(True,)] if commits else [])


@pytest.mark.parametrize("commits", [True, False])
def test_a_claim_passes_by_a_job_that_is_being_cancelled(storage: Storage, client: Client, commits: bool) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    client.begin()
    client.cancel(job_id).result(10)
    assert claimer.claim() == []
    client.end(commits=commits)
    claimer.marks = claims.LowWaterMarks()
    assert ids(claimer.claim()) == ([] if commits else [job_id])
    assert storage.state(job_id) == ("CANCELLED" if commits else "IN_PROGRESS")


AFTER = {"settle": "SUCCESS", "fail": "FAILED", "retry": "CANCELLED", "release": "CANCELLED", "rescue": "CANCELLED", "give up": "FAILED", "end": "FAILED"}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("commits", [True, False])
def test_a_cancel_waits_for_the_end_of_an_attempt_and_comes_after_it(storage: Storage, client: Client, how: str, commits: bool) -> None:
    """An end of the job stands; a job that went back to its queue is cancelled there, with its attempt on record."""
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    claimer.connection._cursor.execute("BEGIN")
    end(claimer, [job], how)
    answer = client.cancel(job.id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert answer.result(10) == (AFTER[how] if commits else "IN_PROGRESS")
    assert storage.state(job.id) == (AFTER[how] if commits else "IN_PROGRESS")
    kept = commits and AFTER[how] == "CANCELLED"
    assert storage.one("SELECT count(*) FROM attempts") == int(kept)
    if kept:
        assert storage.rows("SELECT attempt, started_at, released FROM outcomes") == [(1, None, int(how == "release"))]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("commits", [True, False])
def test_the_end_of_an_attempt_waits_for_a_cancel_and_is_one(storage: Storage, client: Client, how: str, commits: bool) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    client.begin()
    client.cancel(job.id).result(10)

    def work() -> set[str]:
        with claimer.connection.transaction():
            return end(claimer, [job], how)

    ended = storage.begin(work)
    storage.until_blocked(claimer.pid, by=client.pid)
    client.end(commits=commits)
    assert ended.result(10) == {job.id}
    without = {"retry": "PENDING", "release": "PENDING", "rescue": "PENDING"}
    assert storage.state(job.id) == ("CANCELLED" if commits else without.get(how, AFTER[how]))


def test_a_rescue_passes_by_a_job_that_is_being_cancelled_and_then_ends_it(storage: Storage, client: Client) -> None:
    claimer, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit()
    (job,) = claimer.claim()
    client.begin()
    client.cancel(job.id).result(10)
    assert failures.lock_held(controller, claimer.id, 10) == []
    client.end()
    with controller.transaction():
        held = failures.lock_held(controller, claimer.id, 10)
        failures.write_decisions(controller, claimer.id, [(one, Retry(WORKER_LOST, 0)) for one, _ in held])
    assert storage.state(job.id) == "CANCELLED"


def test_only_the_attempts_that_run_and_are_to_stop_are_found(storage: Storage, client: Client) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.submit(3)
    asked, left, gone = claimer.claim()
    client.cancel(asked.id).result(10)
    client.cancel(gone.id).result(10)
    claimer.settle([gone])
    running = [(job.id, job.attempt, claimer.id) for job in (left, gone)]
    assert leases.asked_to_stop(claimer.connection, running) == set()
    assert leases.asked_to_stop(claimer.connection, [*running, (asked.id, 1, claimer.id)]) == {(claimer.id, asked.id)}
    assert leases.asked_to_stop(claimer.connection, [(asked.id, 2, claimer.id), (asked.id, 1, other.id)]) == set()


@pytest.mark.parametrize("asked", [True, False])
def test_a_job_that_is_put_off_for_another_of_its_key_ends_if_it_was_asked_to_stop(storage: Storage, client: Client, asked: bool) -> None:
    claimer = storage.claimer()
    storage.submit(2)
    runs, waits = claimer.claim()
    assert running_keys.take(claimer.connection, claimer.id, "k", runs.id, runs.attempt, 60)
    if asked:
        client.cancel(waits.id).result(10)
    assert not running_keys.take(claimer.connection, claimer.id, "k", waits.id, waits.attempt, 60)
    assert storage.rows("SELECT attempt, started_at, status FROM outcomes") == ([(0, None, "CANCELLED")] if asked else [])
    assert storage.state(waits.id) == ("CANCELLED" if asked else "SCHEDULED")
    assert storage.rows("SELECT attempt, worker FROM live WHERE id = %s", (waits.id,)) == ([] if asked else [(0, None)])

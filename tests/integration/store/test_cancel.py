"""Cancel: its effect in each state of a job, and beside other changes of the job, in both orders."""

import pytest
from integration.store.support.clients import ENDINGS, Client, end_attempts
from integration.store.support.storage import Storage, ids, retry_after

from common.domain.decisions import WORKER_LOST, Retry
from common.domain.states import State
from common.store.jobs import cancel_retry, failures
from common.store.workers import leases
from common.store.workers.low_water_marks import LowWaterMarks


def test_a_waiting_job_is_cancelled_at_once_and_never_claimed(storage: Storage, client: Client) -> None:
    pending, scheduled, retrying = storage.submit(3)
    claimer = storage.claimer()
    storage.rows(
        "UPDATE live SET claimable_at = claimable_at + interval '1 hour' WHERE id = %s OR id = %s", (pending, scheduled)
    )
    claimer.write(claimer.claim(), retry_after(60))
    storage.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE id = %s", (pending,))
    assert [storage.state(job) for job in (pending, scheduled, retrying)] == ["PENDING", "SCHEDULED", "RETRYING"]
    assert [client.cancel(job).result(10) for job in (pending, scheduled, retrying)] == [State.CANCELLED] * 3
    assert claimer.claim() == []
    rows = storage.rows(
        "SELECT run, attempt, released, status, started_at, worker, result, error_type FROM outcomes ORDER BY id"
    )
    assert rows == [(0, attempt, 0, "CANCELLED", None, None, None, None) for attempt in (0, 0, 1)]
    assert storage.value("SELECT count(*) FROM live") == 0


def test_a_running_job_is_asked_to_stop_and_a_repeated_cancel_changes_nothing(storage: Storage, client: Client) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    before = storage.value("SELECT rev FROM live")
    assert [client.cancel(job.id).result(10) for _ in range(3)] == [State.IN_PROGRESS] * 3
    assert storage.rows("SELECT cancel_requested, rev, worker FROM live") == [(True, before + 1, claimer.id)]
    assert storage.state(job.id) == "IN_PROGRESS"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_job_asked_to_stop_ends_cancelled_whatever_the_outcome_of_its_attempt(
    storage: Storage, client: Client, ending: str
) -> None:
    claimer = storage.claimer()
    storage.submit(2)
    job, neighbour = claimer.claim()
    client.cancel(job.id).result(10)
    with claimer.connection.transaction():
        assert end_attempts(claimer, [job, neighbour], ending) == {job.id, neighbour.id}
    assert storage.rows(
        "SELECT attempt, released, status, result, error_type, worker FROM outcomes WHERE id = %s", (job.id,)
    ) == [(1, 0, "CANCELLED", None, None, claimer.id)]
    assert storage.value("SELECT count(*) FROM attempts WHERE id = %s", (job.id,)) == 0
    assert storage.state(neighbour.id) != "CANCELLED"
    assert client.cancel(job.id).result(10) is State.CANCELLED


@pytest.mark.parametrize(("ending", "state"), [("settle", State.SUCCESS), ("fail", State.FAILED)])
def test_a_finished_job_is_not_changed(storage: Storage, client: Client, ending: str, state: State) -> None:
    claimer = storage.claimer()
    storage.submit()
    jobs = claimer.claim()
    with claimer.connection.transaction():
        end_attempts(claimer, jobs, ending)
    before = storage.rows("SELECT * FROM outcomes")
    assert [client.cancel(jobs[0].id).result(10) for _ in range(2)] == [state] * 2
    assert storage.rows("SELECT * FROM outcomes") == before


def test_an_unknown_job_is_not_found(storage: Storage, client: Client) -> None:
    (new,) = storage.new()
    assert client.cancel(str(new.id)).result(10) is None
    assert client.retry(str(new.id)).result(10) is None
    assert client.start(cancel_retry.operation_name(client.connection, 1, new.id)).result(10) is None


@pytest.mark.parametrize("commits", [True, False])
def test_a_cancel_waits_for_an_uncommitted_claim_and_asks_its_job_to_stop(
    storage: Storage, client: Client, commits: bool
) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    claimer.connection._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    answer = client.cancel(job_id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert answer.result(10) is (State.IN_PROGRESS if commits else State.CANCELLED)
    assert storage.rows("SELECT cancel_requested FROM live") == ([(True,)] if commits else [])


@pytest.mark.parametrize("commits", [True, False])
def test_a_claim_passes_a_job_with_an_uncommitted_cancel(storage: Storage, client: Client, commits: bool) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    client.begin()
    client.cancel(job_id).result(10)
    assert claimer.claim() == []
    client.end(commits=commits)
    claimer.marks = LowWaterMarks()
    assert ids(claimer.claim()) == ([] if commits else [job_id])
    assert storage.state(job_id) == ("CANCELLED" if commits else "IN_PROGRESS")


#: States of a job after each end of its attempt and a cancel.
STATES_AFTER = {
    "settle": "SUCCESS",
    "fail": "FAILED",
    "retry": "CANCELLED",
    "release": "CANCELLED",
    "rescue": "CANCELLED",
    "give up": "FAILED",
    "end": "FAILED",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("commits", [True, False])
def test_a_cancel_waits_for_an_uncommitted_end_of_the_attempt(
    storage: Storage, client: Client, ending: str, commits: bool
) -> None:
    """A finished job is not changed. A job that is back in its queue is cancelled there, and its attempt stored."""
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    claimer.connection._cursor.execute("BEGIN")
    end_attempts(claimer, [job], ending)
    answer = client.cancel(job.id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
    assert answer.result(10) == (STATES_AFTER[ending] if commits else "IN_PROGRESS")
    assert storage.state(job.id) == (STATES_AFTER[ending] if commits else "IN_PROGRESS")
    is_stored = commits and STATES_AFTER[ending] == "CANCELLED"
    assert storage.value("SELECT count(*) FROM attempts") == int(is_stored)
    if is_stored:
        assert storage.rows("SELECT attempt, started_at, released FROM outcomes") == [
            (1, None, int(ending == "release"))
        ]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("commits", [True, False])
def test_the_end_of_an_attempt_waits_for_an_uncommitted_cancel_and_becomes_one(
    storage: Storage, client: Client, ending: str, commits: bool
) -> None:
    claimer = storage.claimer()
    storage.submit()
    (job,) = claimer.claim()
    client.begin()
    client.cancel(job.id).result(10)

    def end_attempt() -> set[str]:
        with claimer.connection.transaction():
            return end_attempts(claimer, [job], ending)

    ended = storage.begin(end_attempt)
    storage.until_blocked(claimer.pid, by=client.pid)
    client.end(commits=commits)
    assert ended.result(10) == {job.id}
    without_cancel = {"retry": "PENDING", "release": "PENDING", "rescue": "PENDING"}
    assert storage.state(job.id) == ("CANCELLED" if commits else without_cancel.get(ending, STATES_AFTER[ending]))


def test_a_rescue_skips_a_job_with_an_uncommitted_cancel_and_then_ends_it(storage: Storage, client: Client) -> None:
    claimer, controller = storage.claimer(), storage.connection(by_index=False)
    storage.submit()
    (job,) = claimer.claim()
    client.begin()
    client.cancel(job.id).result(10)
    assert failures.lock_held(controller, claimer.id, 10) == []
    client.end()
    with controller.transaction():
        held = failures.lock_held(controller, claimer.id, 10)
        failures.write_decisions(controller, claimer.id, [(held_job, Retry(WORKER_LOST, 0)) for held_job, _ in held])
    assert storage.state(job.id) == "CANCELLED"


def test_only_running_attempts_that_are_asked_to_stop_are_returned(storage: Storage, client: Client) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.submit(3)
    asked, not_asked, settled = claimer.claim()
    client.cancel(asked.id).result(10)
    client.cancel(settled.id).result(10)
    claimer.settle([settled])
    running = [(job.id, job.attempt, claimer.id) for job in (not_asked, settled)]
    assert leases.find_cancelled(claimer.connection, running) == set()
    assert leases.find_cancelled(claimer.connection, [*running, (asked.id, 1, claimer.id)]) == {(claimer.id, asked.id)}
    assert leases.find_cancelled(claimer.connection, [(asked.id, 2, claimer.id), (asked.id, 1, other.id)]) == set()

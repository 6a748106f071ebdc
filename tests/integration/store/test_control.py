"""Cancel and explicit retry: what they do to a job in each state, and beside whatever else happens to it, in both orders."""

from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from integration.store.sessions import Loop
from integration.store.storage import BACK, ERROR, LOST, Claimer, Storage, ids, results, retry_after

from common.domain.decisions import CANCELLED, WORKER_LOST, Decision, Fail, Retry
from common.domain.job import Claimed
from common.domain.states import State
from common.settings import Pooler
from common.store import claims, control, endings, read, workers
from common.store.control import Rerun

T = TypeVar("T")
ENDS: dict[str, Decision | None] = {
    "settle": None,
    "fail": Fail(ERROR),
    "retry": retry_after(0),
    "release": BACK,
    "rescue": Retry(WORKER_LOST, 0),
    "give up": LOST,
    "end": Fail(CANCELLED),
}


class Client:
    """A connection of the API; each call returns at once."""

    def __init__(self, storage: Storage, loop: Loop) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(storage.connect())
        self.pid = self.connection.get_server_pid()

    def do(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return self._loop.start(work)

    def begin(self) -> None:
        """Begin a transaction; one of the product's own joins it."""
        self._open = self.connection.transaction()
        self._loop.run(self._open.start())

    def end(self, *, commits: bool = True) -> None:
        self._loop.run(self._open.commit() if commits else self._open.rollback())

    def cancel(self, job_id: str) -> "Future[State | None]":
        return self.do(control.cancel(self.connection, UUID(job_id)))

    def rerun(self, job_id: str, text: str | None = None) -> "Future[Rerun | None]":
        return self.do(control.rerun(self.connection, UUID(job_id), text))

    def close(self) -> None:
        self._loop.run(self.connection.close())


@pytest.fixture
def clients(storage: Storage) -> Iterator[tuple[Client, Client]]:
    loop = Loop()
    made = Client(storage, loop), Client(storage, loop)
    yield made
    for client in made:
        client.close()
    loop.close()


@pytest.fixture
def client(clients: tuple[Client, Client]) -> Client:
    return clients[0]


def end(claimer: Claimer, jobs: list[Claimed], how: str) -> set[str]:
    """End attempts, inside of whatever transaction is open."""
    decision = ENDS[how]
    if decision is None:
        return claims.settle(claimer.hot, claimer.id, results(jobs))
    return endings.write(claimer.hot, claimer.id, [(job, decision) for job in jobs])


def cancelled(storage: Storage, client: Client) -> str:
    """Return a job that was cancelled before it ran."""
    (job_id,) = storage.submit()
    assert client.cancel(job_id).result(10) is State.CANCELLED
    return job_id


# --- cancel


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
    with claimer.hot.transaction():
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
    with claimer.hot.transaction():
        end(claimer, jobs, how)
    before = storage.rows("SELECT * FROM outcomes")
    assert [client.cancel(jobs[0].id).result(10) for _ in range(2)] == [state] * 2
    assert storage.rows("SELECT * FROM outcomes") == before


def test_what_is_not_there_is_not_found(storage: Storage, client: Client) -> None:
    (new,) = storage.new()
    assert client.cancel(str(new.id)).result(10) is None
    assert client.rerun(str(new.id)).result(10) is None
    assert client.do(control.operation(client.connection, new.id)).result(10) is None


@pytest.mark.parametrize("commits", [True, False])
def test_a_cancel_waits_for_a_claim_under_way_and_asks_it_to_stop(storage: Storage, client: Client, commits: bool) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    claimer.hot._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    answer = client.cancel(job_id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.hot._cursor.execute("COMMIT" if commits else "ROLLBACK")
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
    claimer.marks = claims.Marks()
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
    claimer.hot._cursor.execute("BEGIN")
    end(claimer, [job], how)
    answer = client.cancel(job.id)
    storage.until_blocked(client.pid, by=claimer.pid)
    claimer.hot._cursor.execute("COMMIT" if commits else "ROLLBACK")
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
        with claimer.hot.transaction():
            return end(claimer, [job], how)

    ended = storage.begin(work)
    storage.until_blocked(claimer.pid, by=client.pid)
    client.end(commits=commits)
    assert ended.result(10) == {job.id}
    without = {"retry": "PENDING", "release": "PENDING", "rescue": "PENDING"}
    assert storage.state(job.id) == ("CANCELLED" if commits else without.get(how, AFTER[how]))


def test_a_rescue_passes_by_a_job_that_is_being_cancelled_and_then_ends_it(storage: Storage, client: Client) -> None:
    claimer, controller = storage.claimer(), storage.hot(by_index=False)
    storage.submit()
    (job,) = claimer.claim()
    client.begin()
    client.cancel(job.id).result(10)
    assert endings.held(controller, claimer.id, 10) == []
    client.end()
    with controller.transaction():
        held = endings.held(controller, claimer.id, 10)
        endings.write(controller, claimer.id, [(one, Retry(WORKER_LOST, 0)) for one, _ in held])
    assert storage.state(job.id) == "CANCELLED"


def test_only_the_attempts_that_run_and_are_to_stop_are_found(storage: Storage, client: Client) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.submit(3)
    asked, left, gone = claimer.claim()
    client.cancel(asked.id).result(10)
    client.cancel(gone.id).result(10)
    claimer.settle([gone])
    running = [(job.id, job.attempt, claimer.id) for job in (left, gone)]
    assert workers.asked_to_stop(claimer.hot, running) == set()
    assert workers.asked_to_stop(claimer.hot, [*running, (asked.id, 1, claimer.id)]) == {claimer.id}
    assert workers.asked_to_stop(claimer.hot, [(asked.id, 2, claimer.id), (asked.id, 1, other.id)]) == set()


# --- retry


@pytest.mark.parametrize("given", [None, '{"data":[7, 8]}'])
def test_a_retry_is_a_new_epoch_and_all_of_before_stays(storage: Storage, client: Client, given: str | None) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(max_attempts=2)
    claimer.write(claimer.claim(), retry_after(0))
    claimer.write(claimer.claim(), Fail(ERROR))
    before = storage.one("SELECT rev FROM job_states")
    assert client.rerun(job_id, given).result(10) == Rerun("default", 1, State.FAILED)
    assert storage.rows("SELECT status, epoch, attempt, rev, result FROM job_states") == [("PENDING", 1, 0, before + 1, None)]
    assert storage.rows("SELECT epoch, input::text FROM reruns") == [(1, given)]
    (job,) = claimer.claim()
    assert (job.id, job.attempt, job.charged, job.max_attempts, job.input) == (job_id, 1, 1, 2, given or '{"data":[1,2,3]}')
    claimer.settle([job])
    history = client.do(read.attempts(client.connection, UUID(job_id), 10)).result(10)
    assert [(one["epoch"], one["attempt"], one["ended"]) for one in history] == [(0, 1, "error"), (0, 2, "failed"), (1, 1, "success")]
    shown = client.do(read.job(client.connection, UUID(job_id))).result(10)
    assert shown is not None
    assert (shown["status"], shown["epoch"], shown["attempt"], shown["input"]) == ("SUCCESS", 1, 1, job.input)
    assert storage.one("SELECT input::text FROM jobs") == '{"data":[1,2,3]}'


def test_a_later_retry_has_the_newest_input_unless_it_brings_one(storage: Storage, client: Client) -> None:
    job_id, claimer, inputs = cancelled(storage, client), storage.claimer(), []
    for given in (None, '{"data":[2]}', None, None, '{"data":[3]}', None):
        made = client.rerun(job_id, given).result(10)
        assert made is not None and made.epoch == len(inputs) + 1
        (job,) = claimer.claim()
        inputs.append(job.input)
        claimer.write([job], Fail(ERROR))
    assert inputs == ['{"data":[1,2,3]}', '{"data":[2]}', '{"data":[2]}', '{"data":[2]}', '{"data":[3]}', '{"data":[3]}']


@pytest.mark.parametrize("state", ["PENDING", "SCHEDULED", "IN_PROGRESS", "RETRYING", "SUCCESS"])
def test_only_what_has_failed_or_was_cancelled_is_retried(storage: Storage, client: Client, state: str) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    if state == "SCHEDULED":
        storage.rows("UPDATE live SET pos = pos + interval '1 hour'")
    elif state != "PENDING":
        jobs = claimer.claim()
        if state == "RETRYING":
            claimer.write(jobs, retry_after(60))
        elif state == "SUCCESS":
            claimer.settle(jobs)
    before = storage.rows("SELECT * FROM live")
    assert client.rerun(job_id, "{}").result(10) == Rerun("default", None, State(state))
    assert storage.rows("SELECT * FROM live") == before
    assert storage.one("SELECT count(*) FROM reruns") == 0


def test_of_two_retries_at_once_one_is_made(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    job_id, claimer = cancelled(storage, first), storage.claimer()
    first.begin()
    made = first.rerun(job_id).result(10)
    assert made is not None and made.epoch == 1
    answer = second.rerun(job_id, "{}")
    storage.until_blocked(second.pid, by=first.pid)
    first.end()
    assert answer.result(10) == Rerun("default", None, State.PENDING)
    assert storage.rows("SELECT epoch FROM live") == [(1,)]
    assert storage.one("SELECT count(*) FROM reruns") == 1
    assert ids(claimer.claim()) == [job_id]


def test_a_retry_that_comes_after_the_first_one_is_claimed_finds_it_running(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    job_id, claimer = cancelled(storage, first), storage.claimer()
    first.rerun(job_id).result(10)
    claimer.hot._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    assert second.rerun(job_id).result(10) == Rerun("default", None, State.PENDING), "it waits for no claim"
    claimer.hot._cursor.execute("COMMIT")
    assert second.rerun(job_id).result(10) == Rerun("default", None, State.IN_PROGRESS)


def test_a_retry_beside_a_settle_that_has_not_committed_makes_no_epoch_twice(storage: Storage, client: Client) -> None:
    """Its snapshot has the old epoch's outcome alone, and by the time it inserts the row of the new one is gone."""
    job_id, claimer = cancelled(storage, client), storage.claimer()
    client.rerun(job_id).result(10)
    (job,) = claimer.claim()
    claimer.hot._cursor.execute("BEGIN")
    end(claimer, [job], "fail")
    assert client.rerun(job_id).result(10) == Rerun("default", None, State.IN_PROGRESS)
    claimer.hot._cursor.execute("COMMIT")
    assert client.rerun(job_id).result(10) == Rerun("default", 2, State.FAILED)


def test_a_retry_beside_a_cancel_that_has_not_committed_finds_the_job_waiting(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    (job_id,) = storage.submit()
    first.begin()
    first.cancel(job_id).result(10)
    assert second.rerun(job_id).result(10) == Rerun("default", None, State.PENDING)
    first.end()
    assert second.rerun(job_id).result(10) == Rerun("default", 1, State.CANCELLED)
    assert first.cancel(job_id).result(10) is State.CANCELLED
    assert storage.rows("SELECT epoch, status FROM outcomes ORDER BY epoch") == [(0, "CANCELLED"), (1, "CANCELLED")]


def test_a_late_end_of_an_epoch_changes_nothing_of_the_next_one(storage: Storage, client: Client) -> None:
    """The process was taken for dead, its job was cancelled and retried, and another has it in its first attempt, as the old one had."""
    slow, other = storage.claimer(), storage.claimer()
    (job_id,) = storage.submit()
    (late,) = slow.claim()
    client.cancel(job_id).result(10)
    with other.hot.transaction():
        endings.write(other.hot, slow.id, [(late, Retry(WORKER_LOST, 0))])
    client.rerun(job_id).result(10)
    (job,) = other.claim()
    assert (job.attempt, late.attempt) == (1, 1)
    before = storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")
    for how in ENDS:
        with slow.hot.transaction():
            end(slow, [late], how)
    assert (storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")) == before
    assert other.settle([job]) == {job_id}


def test_a_retry_needs_the_version_that_its_input_was_checked_by(storage: Storage, client: Client) -> None:
    job_id = cancelled(storage, client)
    storage.rows("UPDATE operations SET version = 3 WHERE name = 'square_sum'")
    needs = []
    for given in (None, "{}", None):
        client.rerun(job_id, given).result(10)
        needs.append(storage.one("SELECT needs FROM live"))
        client.cancel(job_id).result(10)
    assert needs == ["square_sum", "square_sum@3", "square_sum@3"]


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_answer_is_lost_is_not_made_again(storage: Storage, client: Client, monkeypatch: pytest.MonkeyPatch, commits: bool) -> None:
    if storage.settings.database_pooler is Pooler.TRANSACTION:
        pytest.skip("the pooler ends the transaction of a client that has gone")
    job_id = cancelled(storage, client)
    real = asyncpg.transaction.Transaction._Transaction__commit

    async def lost(self: Any) -> None:
        if commits:
            await real(self)
        raise ConnectionResetError

    monkeypatch.setattr(asyncpg.transaction.Transaction, "_Transaction__commit", lost)
    with pytest.raises(control.StoreUnavailable):
        client.rerun(job_id).result(10)
    assert storage.one("SELECT count(*) FROM reruns") == int(commits)

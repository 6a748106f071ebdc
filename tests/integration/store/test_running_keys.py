"""Keys that are held while a job runs: jobs that wait for one are parked, and its release wakes the first of them."""

from dataclasses import replace

import asyncpg
import pytest
from integration.store.support.clients import Client
from integration.store.support.running_keys import keyed, parked, run_one, settle_and_wake, submit, sweep
from integration.store.support.storage import LOST, Storage, ids, retry_after

from common.domain.job import RunningKey
from common.store.jobs import insert, running_keys
from common.store.queues import queue_state

KEY = RunningKey(1, "k")


def test_jobs_of_a_held_key_are_parked_and_cost_nothing_until_it_is_free(storage: Storage) -> None:
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    waiting = submit(storage, 50)
    assert parked(storage) == waiting
    assert {storage.state(job_id) for job_id in waiting} == {"PENDING"}
    before = storage.rows("SELECT id, xmin::text FROM live WHERE claimable_at = 'infinity' ORDER BY 1")
    (other,) = storage.submit()
    assert ids(claimer.claim()) == [other], "no claim finds them"
    assert queue_state.due_queues(claimer.connection) == []
    assert queue_state.depth(claimer.connection, 1_000) == {"default": (0, 2)}, "none could run"
    assert queue_state.parked(claimer.connection, 1_000) == {"default": (50, 0)}
    assert queue_state.parked(claimer.connection, 20) == {"default": (20, 0)}
    assert sweep(storage) == 0
    assert running_keys.wake(claimer.connection, [KEY]) == []
    assert storage.rows("SELECT id, xmin::text FROM live WHERE claimable_at = 'infinity' ORDER BY 1") == before
    assert storage.value("SELECT count(*) FROM live WHERE claimable_at = 'infinity' AND xmax::text <> '0'") == 0, (
        "no row was even locked"
    )
    assert settle_and_wake(claimer, holder) == ["default"]
    assert parked(storage) == waiting[1:]
    assert ids(claimer.claim()) == waiting[:1]


def test_a_free_key_lets_one_of_many_new_jobs_into_the_queue(storage: Storage) -> None:
    claimer = storage.claimer()
    first, *others = submit(storage, 5)
    assert parked(storage) == others
    more = submit(storage, 2)
    assert parked(storage) == others + more, "the first one has not been claimed yet"
    assert ids(claimer.claim()) == [first]


def test_parked_jobs_are_woken_by_priority_and_then_in_their_order(storage: Storage) -> None:
    claimer = storage.claimer()
    job = run_one(storage, claimer)
    low, normal, high = (submit(storage, 2, priority=priority) for priority in (9, 5, 0))
    order = []
    for _ in range(6):
        settle_and_wake(claimer, job)
        (job,) = claimer.claim()
        order.append(job.id)
    assert order == high + normal + low


def test_a_more_urgent_job_does_not_wait_behind_one_in_the_queue(storage: Storage) -> None:
    claimer = storage.claimer()
    (late,) = submit(storage, priority=9)
    (urgent,) = submit(storage, priority=0)
    submit(storage, priority=5)
    assert ids(claimer.claim(2)) == [urgent, late]


def test_jobs_that_no_worker_can_claim_hold_up_no_others_of_their_key(storage: Storage) -> None:
    """A group is what the same workers can claim: jobs of one queue and one operation with its version."""
    claimer = storage.claimer()
    submit(storage, 2, queue="unserved")
    newer = [replace(job, version=7) for job in storage.new(2)]
    storage.store(keyed(newer))
    first, second = submit(storage, 2)
    assert len(parked(storage)) == 3
    (job,) = claimer.claim()
    assert job.id == first
    settle_and_wake(claimer, job)
    assert ids(claimer.claim()) == [second]


def test_a_claimed_job_that_finds_its_key_held_is_parked_with_all_that_are_due(storage: Storage) -> None:
    """As after a delay that ends for all of them at once."""
    claimer, other = storage.claimer(), storage.claimer()
    storage.store(keyed(storage.new(20), delay_s=3_600.0))
    storage.rows("UPDATE live SET claimable_at = clock_timestamp() - interval '1 s' * attempt")
    first, second, *_ = jobs = [*claimer.claim(1), *other.claim(1)]
    assert running_keys.take(claimer.connection, claimer.id, first, KEY)
    revisions = dict(storage.rows("SELECT id::text, rev FROM live"))
    assert not running_keys.take(other.connection, other.id, second, KEY)
    assert len(parked(storage)) == 19
    assert storage.rows("SELECT attempt, worker, rev FROM live WHERE id = %s", (second.id,)) == [
        (0, None, revisions[second.id] + 1)
    ]
    assert storage.state(second.id) == "PENDING"
    order = parked(storage)
    settle_and_wake(claimer, first)
    assert ids(claimer.claim()) == order[:1]
    assert jobs[1].id in order


@pytest.mark.parametrize("asked", [True, False])
def test_a_parked_job_that_was_asked_to_stop_is_cancelled(storage: Storage, client: Client, asked: bool) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.store(keyed(storage.new(2), delay_s=3_600.0))
    storage.rows("UPDATE live SET claimable_at = clock_timestamp()")
    (running,), (waiting,) = claimer.claim(1), other.claim(1)
    assert running_keys.take(claimer.connection, claimer.id, running, KEY)
    if asked:
        client.cancel(waiting.id).result(10)
    assert not running_keys.take(other.connection, other.id, waiting, KEY)
    assert storage.state(waiting.id) == ("CANCELLED" if asked else "PENDING")
    assert storage.rows("SELECT attempt, started_at, status FROM outcomes") == (
        [(0, None, "CANCELLED")] if asked else []
    )


@pytest.mark.parametrize("ending", ["retry", "fail", "cancel", "rescue"])
def test_any_end_of_the_holder_frees_the_key_and_the_controller_wakes_the_next(
    storage: Storage, client: Client, ending: str
) -> None:
    """Its process died before it woke the next one."""
    claimer, other = storage.claimer(), storage.claimer()
    holder = run_one(storage, claimer)
    waiting = submit(storage, 3)
    if ending == "retry":
        claimer.write([holder], retry_after(3_600))
    elif ending == "cancel":
        client.cancel(holder.id).result(10)
        claimer.settle([holder])
    else:
        claimer.write([holder], LOST)
    assert other.claim() == [], "nobody has woken them"
    assert sweep(storage) == 1
    assert sweep(storage) == 0, "one is in the queue"
    assert ids(other.claim()) == waiting[:1]


def test_the_controller_wakes_the_next_when_the_one_in_the_queue_goes(storage: Storage, client: Client) -> None:
    first, second, third, *_ = submit(storage, 4)
    for gone in (first, second):
        client.cancel(gone).result(10)
        assert sweep(storage) == 1
    assert ids(storage.claimer().claim()) == [third]


def test_a_job_that_is_inserted_beside_the_release_of_its_key_is_woken(storage: Storage) -> None:
    """Its insert saw the holder run, and the release did not see it: who commits later asks once more."""
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    (job,) = keyed(storage.new())

    async def work(connection: asyncpg.Connection) -> None:
        async with connection.transaction():
            await insert.insert_jobs(connection, [job])
            settle_and_wake(claimer, holder)
            assert running_keys.wake(claimer.connection, [KEY]) == []
        assert parked(storage) == [str(job.id)]
        await running_keys.wake_after_insert(connection, 1, [KEY])

    storage.api(work)
    assert ids(claimer.claim()) == [str(job.id)]


def test_a_job_that_is_parked_beside_the_release_of_its_key_is_woken(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    holder = run_one(storage, claimer)
    storage.store(keyed(storage.new(), delay_s=3_600.0))
    storage.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE worker IS NULL")
    (job,) = other.claim()
    with claimer.connection.transaction():
        claimer.settle([holder])
        taken = storage.begin(lambda: running_keys.take(other.connection, other.id, job, KEY))
        assert taken.result(10) is False
        assert running_keys.wake(claimer.connection, [KEY]) == ["default"], "it is woken by the release"
    assert ids(other.claim()) == [job.id]


def test_two_that_wake_at_once_lose_no_job(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    holder = run_one(storage, claimer)
    waiting = submit(storage, 3)
    claimer.settle([holder])
    with claimer.connection.transaction():
        assert running_keys.wake(claimer.connection, [KEY]) == ["default"]
        assert running_keys.wake(other.connection, [KEY]) == ["default"], "it does not wait for the first one"
    first, second = claimer.claim()
    assert [first.id, second.id] == waiting[:2]
    assert running_keys.take(claimer.connection, claimer.id, first, KEY)
    assert not running_keys.take(claimer.connection, claimer.id, second, KEY)
    assert parked(storage) == waiting[1:], "it has its place again"


def test_a_key_that_is_held_by_a_job_of_another_queue_is_held(storage: Storage) -> None:
    elsewhere = storage.claimer(queue="elsewhere")
    submit(storage, queue="elsewhere")
    (holder,) = elsewhere.claim()
    assert running_keys.take(elsewhere.connection, elsewhere.id, holder, KEY)
    (waiting,) = submit(storage)
    assert parked(storage) == [waiting]
    assert sweep(storage) == 0
    assert settle_and_wake(elsewhere, holder) == ["default"]


def test_a_new_job_does_not_pass_those_that_nobody_has_woken_yet(storage: Storage) -> None:
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    waiting = submit(storage)
    claimer.settle([holder])
    waiting += submit(storage)
    assert parked(storage) == waiting
    assert running_keys.wake(claimer.connection, [KEY]) == ["default"]
    assert ids(claimer.claim()) == waiting[:1]

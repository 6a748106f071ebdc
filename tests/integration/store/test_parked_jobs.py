"""Parked jobs: cancelled, late, retried, changed by bulk actions, explained; and what a hundred thousand cost."""

from uuid import UUID

import asyncpg
from integration.store.support.bulk_actions import ActionDriver
from integration.store.support.clients import Client
from integration.store.support.query_plans import explain as query_plan
from integration.store.support.running_keys import keyed, parked, run_one, settle_and_wake, submit
from integration.store.support.storage import Storage, ids

from common.domain.bulk_actions import ActionKind
from common.domain.job import RunningKey
from common.domain.states import State
from common.store.jobs import deadlines, insert, running_keys
from common.store.queues import explain, queue_state

KEY = RunningKey(1, "k")

READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'live'"


def test_a_parked_job_is_cancelled_ends_at_its_deadline_and_runs_again_on_request(
    storage: Storage, client: Client
) -> None:
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    cancelled, late, rest = submit(storage, 3)
    client.cancel(cancelled).result(10)
    assert storage.state(cancelled) == "CANCELLED"
    storage.rows("INSERT INTO deadlines (id, at) VALUES (%s, now() - interval '1 s')", (late,))
    assert deadlines.fail_expired(claimer.connection, 10, "deadline_exceeded", "late") == 1
    assert storage.state(late) == "FAILED"
    assert parked(storage) == [rest]
    for job_id in (cancelled, late):
        client.retry(job_id, None).result(10)
        assert storage.rows("SELECT running_key, due_since FROM live WHERE id = %s", (job_id,)) == [("k", None)]
    for job in claimer.claim():
        assert not running_keys.take(claimer.connection, claimer.id, job, KEY)
    assert set(parked(storage)) == {rest, cancelled, late}
    settle_and_wake(claimer, holder)
    assert len(claimer.claim()) == 1


def test_bulk_actions_cancel_move_and_restore_parked_jobs(storage: Storage, actions: ActionDriver) -> None:
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    waiting = submit(storage, 3)
    actions.finish(actions.start(ActionKind.REPRIORITISE, priority=1))
    assert storage.rows("SELECT DISTINCT priority FROM live WHERE claimable_at = 'infinity'") == [(1,)]
    assert parked(storage) == waiting, "they stay parked"
    action = actions.start(ActionKind.CANCEL, State.PENDING)
    actions.finish(action)
    assert {storage.state(job_id) for job_id in waiting} == {"CANCELLED"}
    actions.undo(action)
    assert {storage.state(job_id) for job_id in waiting} == {"PENDING"}
    assert storage.value("SELECT count(*) FROM live WHERE claimable_at = 'infinity' AND due_since IS NULL") == 0
    claimer.settle([holder])
    runs = []
    for _ in range(3):
        jobs = claimer.claim()
        assert running_keys.take(claimer.connection, claimer.id, jobs[0], KEY)
        running_keys.park(claimer.connection, claimer.id, jobs[1:])
        runs.append(jobs[0].id)
        settle_and_wake(claimer, jobs[0])
    assert sorted(runs) == sorted(waiting)


def test_a_parked_job_explains_for_which_job_it_waits(storage: Storage) -> None:
    claimer = storage.claimer()
    holder = run_one(storage, claimer)
    (waiting,) = submit(storage)

    async def read(connection: asyncpg.Connection) -> tuple[object, ...]:
        job = await explain.unfinished_job(connection, 1, UUID(waiting), 100)
        assert job is not None
        return str(job["key_holder"]), job["parked"], job["due"], job["due_at"] <= job["now"]

    assert storage.api(read) == (holder.id, True, False, True)
    claimer.settle([holder])
    assert storage.api(read) == ("None", True, False, True)


def test_jobs_of_a_version_that_did_not_write_the_key_are_parked_by_their_claim(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    storage.store(keyed(storage.new(2), delay_s=3_600.0))
    storage.rows("UPDATE live SET claimable_at = clock_timestamp(), running_key = NULL, needs = NULL")
    (first,), (second,) = claimer.claim(1), other.claim(1)
    assert running_keys.take(claimer.connection, claimer.id, first, KEY)
    assert not running_keys.take(other.connection, other.id, second, KEY)
    assert parked(storage) == [second.id]
    settle_and_wake(claimer, first)
    assert ids(other.claim()) == [second.id]


def test_a_hundred_thousand_parked_jobs_cost_a_claim_and_a_wake_nothing(storage: Storage) -> None:
    """Pages touched, beside as many parked jobs of one key, and of a key each."""
    claimer = storage.claimer()
    run_one(storage, claimer)
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    for key in ("'k'", "'k' || g"):
        storage.rows(
            f"""INSERT INTO live (id, queue, max_attempts, claimable_at, needs, running_key, due_since)
                SELECT uuidv7(), 'default', 3, 'infinity', 'square_sum', {key}, clock_timestamp()
                FROM generate_series(1, 50000) g"""
        )
    before = queue_state.depth(claimer.connection, 1_000)
    assert before == {"default": (0, 1)}
    storage.submit(10)
    assert len(claimer.claim()) == 10
    wake = query_plan(claimer.connection, running_keys.WAKE, ("{1}", ["k"], 1_000))
    assert wake.unbounded("live") == [] and wake.buffers < 40, wake
    in_turn = query_plan(claimer.connection, running_keys.WAKE_IN_TURN, (0, "", "", "", 100))
    assert in_turn.unbounded("live") == [] and in_turn.buffers < 100 * 60, in_turn
    free = query_plan(claimer.connection, running_keys.WAKE, ("{1,1}", ["k7", "k8"], 1_000))
    assert free.unbounded("live") == [] and free.buffers < 2 * 120, free
    job = keyed(storage.new())[0]

    async def insert_one(connection: asyncpg.Connection) -> int:
        async with connection.transaction():
            before = await connection.fetchval(READ) or 0
            await insert.insert_jobs(connection, [job])
            return int(await connection.fetchval(READ)) - before

    assert storage.api(insert_one) < 50

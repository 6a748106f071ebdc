"""Strays, jobs that every worker has passed, are requeued; a waiting backlog is not changed."""

import asyncio
from functools import partial

import pytest
from integration.store.support.storage import RELEASE, Claimer, Storage, ids, retry_after
from rig.system import until

from common.domain.job import PRIORITIES
from common.store.jobs import insert
from common.store.queues import queue_state
from common.store.workers.low_water_marks import LowWaterMarks

LIMIT = 10_000


def _requeue(storage: Storage, since_s: float | None = 60.0, limit: int = LIMIT) -> list[str]:
    return queue_state.requeue_strays(storage.connection(by_index=False), since_s, limit)


def _pass(storage: Storage, position: str, *others: Claimer) -> None:
    """Wait until claimers have passed a position in the queue and published their marks."""

    def claim_and_publish() -> bool:
        for claimer in others:
            assert claimer.claim() == []
            assert claimer.renew()
        return all(claimer.marks.claimable_at[5] > position for claimer in others)

    until("the marks are above the position", claim_and_publish)


def test_an_insert_that_commits_late_is_a_stray_and_is_requeued(storage: Storage) -> None:
    claimer = storage.claimer()
    (job,) = storage.new()

    async def work() -> None:
        connection = await storage.connect()
        late = connection.transaction()
        await late.start()
        await insert.insert_jobs(connection, [job])
        position = await connection.fetchval("SELECT claimable_at::text FROM live")
        await asyncio.to_thread(_pass, storage, position, claimer)
        await late.commit()
        await connection.close()

    asyncio.run(work())
    assert storage.state(str(job.id)) == "PENDING"
    assert claimer.claim() == [], "the job is below the mark"
    assert _requeue(storage) == ["default"]
    assert ids(claimer.claim()) == [str(job.id)]
    assert _requeue(storage) == []


def test_an_insert_that_commits_within_the_slack_is_never_passed(storage: Storage) -> None:
    claimer = storage.claimer()
    assert claimer.claim() == []
    storage.fill(1, "clock_timestamp() - interval '0.4 s'")
    assert len(claimer.claim()) == 1


def test_a_scan_for_strays_skips_jobs_that_a_claim_has_locked(storage: Storage) -> None:
    ahead, behind = storage.claimer(), storage.claimer()
    ahead.claim()
    ahead.renew()
    jobs = storage.submit(2)
    storage.age(jobs, 30)
    with behind.connection.transaction():
        assert ids(behind.claim()) == jobs
        assert _requeue(storage) == []
    assert _requeue(storage) == []


@pytest.mark.parametrize("way", ["terminate", "close"])
def test_a_claim_that_is_killed_before_its_commit_leaves_strays_that_are_requeued(storage: Storage, way: str) -> None:
    killed, other = storage.claimer(), storage.claimer()
    jobs = storage.submit(3)
    storage.age(jobs, 5)
    killed.connection._cursor.execute("BEGIN")
    assert ids(killed.claim()) == jobs
    assert other.claim() == [], "locked rows are skipped"
    other.renew()
    if way == "terminate":
        storage.value("SELECT pg_terminate_backend(%s)", (killed.pid,))
    else:
        killed.connection.close()
    until("its locks are released", lambda: len(storage.rows("SELECT id FROM live FOR UPDATE SKIP LOCKED")) == 3)
    assert [storage.state(job) for job in jobs] == ["PENDING"] * 3
    assert storage.value("SELECT max(attempt) FROM live") == 0, "an attempt that never began is not counted"
    assert other.claim() == []
    assert _requeue(storage) == ["default"] * 3
    assert set(ids(other.claim())) == set(jobs)


def test_a_backlog_above_every_mark_is_not_requeued(storage: Storage) -> None:
    claimer = storage.claimer()
    jobs = storage.submit(20)
    storage.age(jobs, 600)
    assert ids(claimer.claim(5)) == jobs[:5]
    claimer.renew()
    before = storage.rows("SELECT id, claimable_at, rev FROM live WHERE worker IS NULL ORDER BY id")
    for since_s in (60.0, None):
        assert _requeue(storage, since_s) == []
    assert storage.rows("SELECT id, claimable_at, rev FROM live WHERE worker IS NULL ORDER BY id") == before
    assert ids(claimer.claim()) == jobs[5:]


def test_the_recent_scan_covers_a_minute_and_the_full_scan_all_jobs(storage: Storage) -> None:
    claimer = storage.claimer()
    claimer.claim()
    claimer.renew()
    recent, old = storage.submit(2)
    storage.age([recent], 30)
    storage.age([old], 3_600)
    assert _requeue(storage, 60.0) == ["default"]
    assert ids(claimer.claim()) == [recent]
    assert _requeue(storage, None) == ["default"]
    assert ids(claimer.claim()) == [old]


def test_marks_in_the_future_after_a_clock_step_hide_no_due_job_and_end_no_delay(storage: Storage) -> None:
    """A process published them before the clock was set back, and may have crashed since."""
    claimer, connection = storage.claimer(), storage.connection()
    (delayed,) = storage.submit()
    claimer.write(claimer.claim(), retry_after(30))
    claimer.marks = LowWaterMarks(
        claimable_at=dict.fromkeys(PRIORITIES, storage.value("SELECT (now() + interval '10 min')::text"))
    )
    claimer.renew()
    for since_s in (60.0, None):
        assert _requeue(storage, since_s) == [], "the job is not due yet"
    assert queue_state.due_queues(connection) == []
    storage.age([delayed], 31)
    assert queue_state.due_queues(connection) == ["default"]
    assert queue_state.oldest_due_s(connection)["default"] >= 1
    assert claimer.claim() == [], "the job is below the mark, which this claim lowers"
    assert claimer.renew()
    assert _requeue(storage) == ["default"]
    assert ids(claimer.claim()) == [delayed]


def test_a_scan_requeues_up_to_its_limit_and_the_next_one_the_rest(storage: Storage) -> None:
    claimer = storage.claimer()
    claimer.claim()
    claimer.renew()
    jobs = storage.submit(5)
    storage.age(jobs, 30)
    assert [len(_requeue(storage, limit=2)) for _ in range(4)] == [2, 2, 1, 0]
    assert set(ids(claimer.claim())) == set(jobs)


def test_held_and_future_jobs_are_never_strays(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    held = storage.submit(2)
    storage.age(held, 30)
    claimer.claim()
    future = storage.submit(2)
    storage.age(future, -30)
    other.claim()
    other.renew()
    assert _requeue(storage, None) == []
    assert storage.value("SELECT count(*) FROM live WHERE worker = %s", (claimer.id,)) == 2


def test_each_queue_and_priority_has_its_own_low_water_mark(storage: Storage) -> None:
    """A high mark in one queue does not make strays of another queue's backlog."""
    claimer, slow = storage.claimer(), storage.claimer(queue="slow")
    storage.age(storage.submit(1), 30)
    backlog = storage.submit(1, queue="slow")
    storage.age(backlog, 600)
    low = storage.submit(3, priority=8)
    storage.age(low, 600)
    assert len(claimer.claim(2)) == 2, "the urgent job and one of the others"
    claimer.renew()
    assert _requeue(storage, None) == []
    assert ids(claimer.claim()) == low[1:]
    assert ids(slow.claim()) == backlog


def test_marks_of_ended_workers_do_not_count(storage: Storage) -> None:
    ended = storage.claimer()
    ended.claim()
    ended.renew()
    storage.rows("UPDATE workers SET ended_at = now()")
    jobs = storage.submit(2)
    storage.age(jobs, 30)
    assert _requeue(storage, None) == [], "a new worker starts below them"
    assert ids(storage.claimer().claim()) == jobs


def test_a_released_job_moves_to_the_end_of_the_queue_above_every_mark(storage: Storage) -> None:
    claimer = storage.claimer()
    first, second = storage.submit(2)
    storage.age([first, second], 30)
    taken = claimer.claim(1)
    claimer.write(taken, RELEASE)
    assert ids(claimer.claim()) == [second, first]
    claimer.renew()
    assert _requeue(storage, None) == []


def test_two_claimers_claim_each_of_a_hundred_thousand_jobs_of_one_position_once(storage: Storage) -> None:
    """The mark is a position and an id, which orders equal positions."""
    storage.fill(100_000, "timestamptz '2026-01-01 00:00:00+00'")

    def claim_all(claimer: Claimer) -> list[str]:
        claimed: list[str] = []
        while jobs := claimer.claim(1_000):
            claimed += ids(jobs)
            if len(jobs) < 1_000:
                break
        return claimed

    runs = [storage.begin(partial(claim_all, storage.claimer())) for _ in range(2)]
    first, second = (run.result(60) for run in runs)
    assert len(first) + len(second) == len(set(first) | set(second))
    left = len(storage.claimer().claim(1_000))
    assert len(first) + len(second) + left == 100_000
    assert storage.rows("SELECT count(*), count(worker), max(attempt) FROM live") == [(100_000, 100_000, 1)]

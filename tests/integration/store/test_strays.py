"""Jobs that every worker has passed by are found and floated; a backlog that waits is left as it is."""

import asyncio
from functools import partial

import pytest
from integration.store.support.storage import BACK, Claimer, Storage, ids, retry_after
from rig.system import until

from common.domain.job import PRIORITIES
from common.store.jobs import insert
from common.store.jobs.claims import LowWaterMarks
from common.store.queues import queue_state

MOST = 10_000


def _float(storage: Storage, since_s: float | None = 60.0, most: int = MOST) -> list[str]:
    return queue_state.requeue_strays(storage.connection(by_index=False), since_s, most)


def _passed(storage: Storage, place: str, *others: Claimer) -> None:
    """Wait until claimers have looked further than a place in the queue, and said so."""

    def look() -> bool:
        for claimer in others:
            assert claimer.claim() == []
            assert claimer.publish()
        return all(claimer.marks.claimable_at[5] > place for claimer in others)

    until("the marks are past it", look)


def test_an_insert_that_commits_late_is_a_stray_and_is_floated(storage: Storage) -> None:
    claimer = storage.claimer()
    (job,) = storage.new()

    async def work() -> None:
        connection = await storage.connect()
        late = connection.transaction()
        await late.start()
        await insert.insert_jobs(connection, [job])
        place = await connection.fetchval("SELECT pos::text FROM live")
        await asyncio.to_thread(_passed, storage, place, claimer)
        await late.commit()
        await connection.close()

    asyncio.run(work())
    assert storage.state(str(job.id)) == "PENDING"
    assert claimer.claim() == [], "it lies below the mark"
    assert _float(storage) == ["default"]
    assert ids(claimer.claim()) == [str(job.id)]
    assert _float(storage) == []


def test_an_insert_that_commits_within_the_slack_is_never_passed_by(storage: Storage) -> None:
    claimer = storage.claimer()
    assert claimer.claim() == []
    storage.fill(1, "clock_timestamp() - interval '0.4 s'")
    assert len(claimer.claim()) == 1


def test_a_look_for_strays_does_not_wait_for_a_claim_that_holds_them(storage: Storage) -> None:
    ahead, behind = storage.claimer(), storage.claimer()
    ahead.claim()
    ahead.publish()
    jobs = storage.submit(2)
    storage.age(jobs, 30)
    with behind.connection.transaction():
        assert ids(behind.claim()) == jobs
        assert _float(storage) == []
    assert _float(storage) == []


@pytest.mark.parametrize("way", ["terminate", "close"])
def test_a_claim_that_is_killed_before_its_commit_leaves_strays_that_are_floated(storage: Storage, way: str) -> None:
    killed, other = storage.claimer(), storage.claimer()
    jobs = storage.submit(3)
    storage.age(jobs, 5)
    killed.connection._cursor.execute("BEGIN")
    assert ids(killed.claim()) == jobs
    assert other.claim() == [], "locked rows are passed over"
    other.publish()
    if way == "terminate":
        storage.one("SELECT pg_terminate_backend(%s)", (killed.pid,))
    else:
        killed.connection.close()
    until("its locks are gone", lambda: len(storage.rows("SELECT id FROM live FOR UPDATE SKIP LOCKED")) == 3)
    assert [storage.state(job) for job in jobs] == ["PENDING"] * 3
    assert storage.one("SELECT max(attempt) FROM live") == 0, "an attempt that was never made is not counted"
    assert other.claim() == []
    assert _float(storage) == ["default"] * 3
    assert set(ids(other.claim())) == set(jobs)


def test_a_backlog_above_every_mark_is_not_touched(storage: Storage) -> None:
    claimer = storage.claimer()
    jobs = storage.submit(20)
    storage.age(jobs, 600)
    assert ids(claimer.claim(5)) == jobs[:5]
    claimer.publish()
    before = storage.rows("SELECT id, pos, rev FROM live WHERE worker IS NULL ORDER BY id")
    for since_s in (60.0, None):
        assert _float(storage, since_s) == []
    assert storage.rows("SELECT id, pos, rev FROM live WHERE worker IS NULL ORDER BY id") == before
    assert ids(claimer.claim()) == jobs[5:]


def test_the_quick_look_goes_back_a_minute_and_the_full_look_for_ever(storage: Storage) -> None:
    claimer = storage.claimer()
    claimer.claim()
    claimer.publish()
    recent, old = storage.submit(2)
    storage.age([recent], 30)
    storage.age([old], 3_600)
    assert _float(storage, 60.0) == ["default"]
    assert ids(claimer.claim()) == [recent]
    assert _float(storage, None) == ["default"]
    assert ids(claimer.claim()) == [old]


def test_marks_that_lie_ahead_because_the_clock_was_set_back_hide_no_due_job_and_end_no_pause(storage: Storage) -> None:
    """They are of a process that looked before the step, and may have died with it."""
    claimer, connection = storage.claimer(), storage.connection()
    (paused,) = storage.submit()
    claimer.write(claimer.claim(), retry_after(30))
    claimer.marks = LowWaterMarks(claimable_at=dict.fromkeys(PRIORITIES, storage.one("SELECT (now() + interval '10 min')::text")))
    claimer.publish()
    for since_s in (60.0, None):
        assert _float(storage, since_s) == [], "it is not due yet"
    assert queue_state.due_queues(connection) == []
    storage.age([paused], 31)
    assert queue_state.due_queues(connection) == ["default"]
    assert queue_state.oldest_due_s(connection)["default"] >= 1
    assert claimer.claim() == [], "it lies below the mark, which this sets back"
    assert claimer.publish()
    assert _float(storage) == ["default"]
    assert ids(claimer.claim()) == [paused]


def test_a_look_floats_no_more_than_its_limit_and_the_next_one_the_rest(storage: Storage) -> None:
    claimer = storage.claimer()
    claimer.claim()
    claimer.publish()
    jobs = storage.submit(5)
    storage.age(jobs, 30)
    assert [len(_float(storage, most=2)) for _ in range(4)] == [2, 2, 1, 0]
    assert set(ids(claimer.claim())) == set(jobs)


def test_held_and_future_jobs_are_never_strays(storage: Storage) -> None:
    claimer, other = storage.claimer(), storage.claimer()
    held = storage.submit(2)
    storage.age(held, 30)
    claimer.claim()
    future = storage.submit(2)
    storage.age(future, -30)
    other.claim()
    other.publish()
    assert _float(storage, None) == []
    assert storage.one("SELECT count(*) FROM live WHERE worker = %s", (claimer.id,)) == 2


def test_each_queue_and_priority_has_a_front_of_its_own(storage: Storage) -> None:
    """A worker that has looked far into one queue says nothing of another's backlog."""
    claimer, slow = storage.claimer(), storage.claimer(queue="slow")
    storage.age(storage.submit(1), 30)
    backlog = storage.submit(1, queue="slow")
    storage.age(backlog, 600)
    low = storage.submit(3, priority=8)
    storage.age(low, 600)
    assert len(claimer.claim(2)) == 2, "the urgent one and one of the others"
    claimer.publish()
    assert _float(storage, None) == []
    assert ids(claimer.claim()) == low[1:]
    assert ids(slow.claim()) == backlog


def test_marks_of_ended_workers_do_not_count(storage: Storage) -> None:
    ended = storage.claimer()
    ended.claim()
    ended.publish()
    storage.rows("UPDATE workers SET ended_at = now()")
    jobs = storage.submit(2)
    storage.age(jobs, 30)
    assert _float(storage, None) == [], "whoever comes starts below it"
    assert ids(storage.claimer().claim()) == jobs


def test_a_released_job_goes_to_the_end_of_the_queue_and_above_every_mark(storage: Storage) -> None:
    claimer = storage.claimer()
    first, second = storage.submit(2)
    storage.age([first, second], 30)
    taken = claimer.claim(1)
    claimer.write(taken, BACK)
    assert ids(claimer.claim()) == [second, first]
    claimer.publish()
    assert _float(storage, None) == []


def test_a_hundred_thousand_jobs_of_one_place_are_each_claimed_once_by_two_claimers(storage: Storage) -> None:
    """The mark is a place and an id: equal places are told apart."""
    storage.fill(100_000, "timestamptz '2026-01-01 00:00:00+00'")

    def claim_all(claimer: Claimer) -> list[str]:
        taken: list[str] = []
        while jobs := claimer.claim(1_000):
            taken += ids(jobs)
            if len(jobs) < 1_000:
                break
        return taken

    runs = [storage.begin(partial(claim_all, storage.claimer())) for _ in range(2)]
    first, second = (run.result(60) for run in runs)
    assert len(first) + len(second) == len(set(first) | set(second))
    left = len(storage.claimer().claim(1_000))
    assert len(first) + len(second) + left == 100_000
    assert storage.rows("SELECT count(*), count(worker), max(attempt) FROM live") == [(100_000, 100_000, 1)]

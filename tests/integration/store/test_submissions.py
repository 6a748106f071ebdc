"""Submissions: a batch is stored as a whole, once, and in the partition of its time."""

import asyncio
import dataclasses
from datetime import timedelta

import asyncpg
import pytest
from integration.store.support.storage import Storage, ids

from common.store.jobs import insert, reads
from common.store.schema import partitions

DAY_S = 86_400


def test_a_submission_is_one_row_each_of_jobs_and_live(storage: Storage) -> None:
    (plain,) = storage.new()
    text = '{"data": [1, 2.50, 3e2],  "b":1, "b":2}'
    job = dataclasses.replace(
        plain, input=text, timeout_ms=1_500, priority=2, trace="00-4bf9-00f0-01", queue="slow", max_attempts=7
    )
    before = storage.value("SELECT clock_timestamp()")
    storage.store([job])
    ((created_at, run_at, tenant, *rest),) = storage.rows(
        """SELECT created_at, run_at, tenant, timeout_ms, priority, max_attempts, queue, operation, trace, input::text
           FROM jobs WHERE id = %s""",
        (str(job.id),),
    )
    assert (run_at, tenant) == (None, 1)
    assert rest == [1_500, 2, 7, "slow", "square_sum", "00-4bf9-00f0-01", text]
    ((claimable_at, *rest),) = storage.rows(
        """SELECT claimable_at, worker, attempt, released, run, rev, cancel_requested, priority, max_attempts, queue
           FROM live"""
    )
    assert rest == [None, 0, 0, 0, 0, False, 2, 7, "slow"]
    after = storage.value("SELECT clock_timestamp()")
    assert before <= claimable_at <= after
    assert before - timedelta(seconds=1) <= created_at <= after
    (claimed,) = storage.claimer(queue="slow").claim()
    assert (claimed.input, claimed.operation, claimed.timeout_ms, claimed.trace) == (
        text,
        "square_sum",
        1_500,
        "00-4bf9-00f0-01",
    )


def test_a_repeated_submission_stores_no_job_twice_before_or_after_its_end(storage: Storage) -> None:
    claimer = storage.claimer()
    jobs = storage.new(3)
    storage.store(jobs[:2], jobs)
    assert storage.value("SELECT count(*) FROM live") == 3
    claimer.settle(claimer.claim())
    storage.store(jobs)
    assert storage.value("SELECT count(*) FROM live") == 0
    assert storage.value("SELECT count(*) FROM jobs") == 3


def test_two_submissions_of_the_same_jobs_at_once_store_them_once(storage: Storage) -> None:
    jobs = storage.new(2)

    async def work() -> None:
        first, second = [await storage.connect() for _ in range(2)]
        transaction = first.transaction()
        await transaction.start()
        await insert.insert_jobs(first, jobs)
        again = asyncio.create_task(insert.insert_jobs(second, jobs))
        await asyncio.to_thread(storage.until_blocked, second.get_server_pid())
        await transaction.commit()
        await again
        await first.close()
        await second.close()

    asyncio.run(work())
    assert storage.rows("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM live)") == [(2, 2)]


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 10},
        {"max_attempts": 0},
        {"max_attempts": 1_001},
        {"timeout_ms": 0},
        {"input": "{"},
        {"input": '"\x00"'},
    ],
)
def test_one_invalid_job_rolls_back_its_batch(storage: Storage, change: dict[str, object]) -> None:
    jobs = storage.new(3)
    with pytest.raises(asyncpg.PostgresError):
        storage.store([jobs[0], dataclasses.replace(jobs[1], **change), jobs[2]])  # type: ignore[arg-type]  # invalid on purpose
    assert storage.rows("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM live)") == [(0, 0)]


def test_jobs_without_a_partition_are_refused_until_it_exists(storage: Storage) -> None:
    storage.rows("SELECT 1")
    for table in partitions.TABLES:
        for (name,) in storage.rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (table,)
        ):
            storage.rows(f"DROP TABLE {name}")
    jobs = storage.new(2)
    with pytest.raises(asyncpg.CheckViolationError):
        storage.store(jobs)
    assert storage.value("SELECT count(*) FROM live") == 0
    with storage.engine.begin() as connection:
        assert len(partitions.create_missing(connection, days=1, ahead=2)) == 4
    assert ids(storage.claimer().claim()) == []
    storage.store(jobs)
    claimer = storage.claimer()
    assert claimer.settle(claimer.claim()) == {str(job.id) for job in jobs}


@pytest.mark.parametrize("days", [-400, 400])
def test_an_id_of_the_distant_past_or_future_has_no_partition(storage: Storage, days: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        storage.store(storage.new(ago_s=days * DAY_S))


def test_an_unknown_id_is_none_with_and_without_a_partition(storage: Storage) -> None:
    for ago_s in (0.0, 400.0 * DAY_S):
        (job,) = storage.new(ago_s=ago_s)
        assert storage.api(lambda connection, job=job: reads.job(connection, 1, job.id)) is None  # type: ignore[misc]  # bound in the loop
        assert storage.api(lambda connection, job=job: reads.result(connection, 1, job.id)) is None  # type: ignore[misc]  # bound in the loop


def test_urgent_jobs_are_claimed_first_and_equal_ones_in_order_of_submission(storage: Storage) -> None:
    late = storage.submit(2, priority=9)
    normal = storage.submit(2)
    urgent = storage.submit(2, priority=0)
    assert ids(storage.claimer().claim()) == urgent + normal + late

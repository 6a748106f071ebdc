"""Due queues and queue depths, compared with plain counts."""

import random
from dataclasses import replace

import pytest
from integration.store.support.storage import Storage, retry_after
from rig.system import until

from common.store.queues import queue_state
from common.store.workers import leases

QUEUES = ["default", "slow", "bulk"]
PLAIN_DUE = "SELECT DISTINCT queue FROM live WHERE worker IS NULL AND claimable_at <= clock_timestamp()"
PLAIN_DEPTH = """SELECT queue, count(*) FILTER (WHERE worker IS NULL), count(worker) FROM live
                 WHERE claimable_at <= clock_timestamp() GROUP BY queue"""


def test_due_queues_and_depths_agree_with_plain_counts_after_random_changes(storage: Storage) -> None:
    rng = random.Random(7)
    connection = storage.connection(by_index=False)
    claimers = {queue: storage.claimer(queue=queue) for queue in QUEUES}
    for _ in range(25):
        queue = rng.choice(QUEUES)
        claimer = claimers[queue]
        storage.age(
            storage.submit(rng.randint(0, 4), queue=queue, priority=rng.choice([0, 5, 9])), rng.choice([0, 0.3, -60])
        )
        jobs = claimer.claim(rng.randint(1, 6))
        if rng.random() < 0.5:
            claimer.settle(jobs)
        else:
            claimer.write(jobs, retry_after(rng.choice([0, 60])))
        claimer.renew()
        assert set(queue_state.due_queues(connection)) == {row[0] for row in storage.rows(PLAIN_DUE)}
        depths = {queue: counts for queue, counts in queue_state.depth(connection, 1_000).items() if counts != (0, 0)}
        assert depths == {row[0]: (row[1], row[2]) for row in storage.rows(PLAIN_DEPTH)}


def test_a_scheduled_job_is_due_from_its_time_on(storage: Storage) -> None:
    connection = storage.connection(by_index=False)
    storage.age(storage.submit(), -0.5)
    assert queue_state.due_queues(connection) == []
    assert queue_state.depth(connection, 10)["default"] == (0, 0)
    until("the job is due", lambda: queue_state.due_queues(connection) == ["default"])
    assert queue_state.depth(connection, 10)["default"] == (1, 0)


def test_a_claimed_job_is_running_and_not_due(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    claimer.claim(2)
    assert queue_state.due_queues(claimer.connection) == ["default"]
    assert queue_state.depth(claimer.connection, 10)["default"] == (1, 2)
    claimer.claim(2)
    assert queue_state.due_queues(claimer.connection) == []
    assert queue_state.depth(claimer.connection, 10)["default"] == (0, 3)


def test_a_depth_is_counted_up_to_its_limit(storage: Storage) -> None:
    storage.submit(8)
    claimer = storage.claimer()
    claimer.claim(4)
    assert sum(queue_state.depth(claimer.connection, 5)["default"]) == 5
    assert queue_state.depth(claimer.connection, 100)["default"] == (4, 4)


def test_a_known_queue_without_jobs_has_depth_zero(storage: Storage) -> None:
    """Operations and workers that have not ended make a queue known. Unknown queues are absent."""
    connection = storage.connection()
    assert set(queue_state.depth(connection, 10)) == {"default"}
    claimer = storage.claimer(queue="special")
    assert queue_state.depth(connection, 10) == {"default": (0, 0), "special": (0, 0)}
    storage.rows("UPDATE workers SET ended_at = now() WHERE id = %s", (claimer.id,))
    assert set(queue_state.depth(connection, 10)) == {"default"}


@pytest.mark.parametrize("priority", [0, 5, 9])
def test_a_job_of_any_priority_makes_its_queue_due(storage: Storage, priority: int) -> None:
    storage.submit(priority=priority)
    assert queue_state.due_queues(storage.connection(by_index=False)) == ["default"]


def test_due_queues_are_scanned_from_the_low_water_marks_on(storage: Storage) -> None:
    """Jobs below the marks are strays, so a scan never reads entries of jobs that were claimed long ago."""
    claimer = storage.claimer()
    claimer.claim()
    claimer.renew()
    storage.age(storage.submit(), 30)
    assert queue_state.due_queues(claimer.connection) == []
    assert queue_state.requeue_strays(claimer.connection, 60.0, 10) == ["default"]
    assert queue_state.due_queues(claimer.connection) == ["default"]


def test_jobs_that_workers_without_their_operation_have_passed_are_due(storage: Storage) -> None:
    """The worker that has the operation is full after one job; the others have scanned the queue to its end."""
    plain, other = storage.claimer(), storage.claimer()
    leases.set_operations(other.connection, other.id, ["other"])
    storage.age(storage.store([replace(job, operation="other") for job in storage.new(3)]), 10)
    assert len(other.claim(1)) == 1
    other.renew()
    assert plain.claim() == []
    plain.renew()
    assert queue_state.due_queues(plain.connection) == ["default"]
    assert queue_state.oldest_due_s(plain.connection)["default"] > 9
    assert len(other.claim()) == 2
    other.renew()
    assert queue_state.due_queues(plain.connection) == []
    assert queue_state.requeue_strays(plain.connection, None, 10) == []

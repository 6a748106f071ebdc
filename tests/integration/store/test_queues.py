"""Which queues have due work, and how deep they are, against a plain count."""

import random
from dataclasses import replace

import pytest
from integration.store.support.storage import Storage, retry_after
from rig.system import until

from common.store.queues import queue_state
from common.store.workers import leases

QUEUES = ["default", "slow", "bulk"]
PLAIN_DUE = "SELECT DISTINCT queue FROM live WHERE worker IS NULL AND pos <= clock_timestamp()"
PLAIN_DEPTH = """SELECT queue, count(*) FILTER (WHERE worker IS NULL), count(worker) FROM live WHERE pos <= clock_timestamp() GROUP BY queue"""


def test_due_and_depth_agree_with_a_plain_count_whatever_has_happened(storage: Storage) -> None:
    rng = random.Random(7)
    connection = storage.connection(by_index=False)
    claimers = {queue: storage.claimer(queue=queue) for queue in QUEUES}
    for _ in range(25):
        queue = rng.choice(QUEUES)
        claimer = claimers[queue]
        storage.age(storage.submit(rng.randint(0, 4), queue=queue, priority=rng.choice([0, 5, 9])), rng.choice([0, 0.3, -60]))
        jobs = claimer.claim(rng.randint(1, 6))
        if rng.random() < 0.5:
            claimer.settle(jobs)
        else:
            claimer.write(jobs, retry_after(rng.choice([0, 60])))
        claimer.publish()
        assert set(queue_state.due_queues(connection)) == {row[0] for row in storage.rows(PLAIN_DUE)}
        found = {queue: counts for queue, counts in queue_state.depth(connection, 1_000).items() if counts != (0, 0)}
        assert found == {row[0]: (row[1], row[2]) for row in storage.rows(PLAIN_DEPTH)}


def test_a_future_job_is_not_due_until_its_time_has_come(storage: Storage) -> None:
    connection = storage.connection(by_index=False)
    storage.age(storage.submit(), -0.5)
    assert queue_state.due_queues(connection) == []
    assert queue_state.depth(connection, 10)["default"] == (0, 0)
    until("it is due", lambda: queue_state.due_queues(connection) == ["default"])
    assert queue_state.depth(connection, 10)["default"] == (1, 0)


def test_a_job_in_a_workers_hands_is_running_and_not_due(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit(3)
    claimer.claim(2)
    assert queue_state.due_queues(claimer.connection) == ["default"]
    assert queue_state.depth(claimer.connection, 10)["default"] == (1, 2)
    claimer.claim(2)
    assert queue_state.due_queues(claimer.connection) == []
    assert queue_state.depth(claimer.connection, 10)["default"] == (0, 3)


def test_depth_counts_no_further_than_its_cap(storage: Storage) -> None:
    storage.submit(8)
    claimer = storage.claimer()
    claimer.claim(4)
    assert sum(queue_state.depth(claimer.connection, 5)["default"]) == 5
    assert queue_state.depth(claimer.connection, 100)["default"] == (4, 4)


def test_a_known_queue_without_jobs_has_a_depth_of_nothing(storage: Storage) -> None:
    """Known from an operation or from a worker that has not ended; absent means unknown."""
    connection = storage.connection()
    assert set(queue_state.depth(connection, 10)) == {"default"}
    claimer = storage.claimer(queue="special")
    assert queue_state.depth(connection, 10) == {"default": (0, 0), "special": (0, 0)}
    storage.rows("UPDATE workers SET ended_at = now() WHERE id = %s", (claimer.id,))
    assert set(queue_state.depth(connection, 10)) == {"default"}


@pytest.mark.parametrize("priority", [0, 5, 9])
def test_due_work_of_every_priority_is_seen(storage: Storage, priority: int) -> None:
    storage.submit(priority=priority)
    assert queue_state.due_queues(storage.connection(by_index=False)) == ["default"]


def test_due_looks_from_the_marks_on(storage: Storage) -> None:
    """What lies below them is a stray's business: so a look never walks what was claimed long ago."""
    claimer = storage.claimer()
    claimer.claim()
    claimer.publish()
    storage.age(storage.submit(), 30)
    assert queue_state.due_queues(claimer.connection) == []
    assert queue_state.requeue_strays(claimer.connection, 60.0, 10) == ["default"]
    assert queue_state.due_queues(claimer.connection) == ["default"]


def test_what_those_of_one_knowledge_have_passed_by_is_due_for_those_of_another(storage: Storage) -> None:
    """Whoever knows the other operation has claimed one of its jobs and has no room for more; all others have looked to the end of the queue."""
    plain, other = storage.claimer(), storage.claimer()
    leases.set_operations(other.connection, other.id, ["other"])
    storage.age(storage.store([replace(job, operation="other") for job in storage.new(3)]), 10)
    assert len(other.claim(1)) == 1
    other.publish()
    assert plain.claim() == []
    plain.publish()
    assert queue_state.due_queues(plain.connection) == ["default"]
    assert queue_state.oldest_due_s(plain.connection)["default"] > 9
    assert len(other.claim()) == 2
    other.publish()
    assert queue_state.due_queues(plain.connection) == []
    assert queue_state.requeue_strays(plain.connection, None, 10) == []

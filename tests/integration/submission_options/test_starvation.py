"""The starvation guard: jobs that have waited long enough are raised to the best priority."""

from integration.store.support.storage import Storage

from common.store.queues import queue_state


def test_a_job_that_has_waited_long_enough_is_claimed_first(storage: Storage) -> None:
    (old,) = storage.submit(1, priority=9)
    storage.age([old], 100)
    first = storage.submit(3, priority=0)
    late = storage.submit(2, priority=9)
    connection = storage.connection()
    assert queue_state.raise_starved(connection, 60, 100) == ["default"]
    assert queue_state.raise_starved(connection, 60, 100) == []
    assert [job.id for job in storage.claimer().claim()] == [*first, old, *late]


def test_each_step_raises_a_limited_number_of_jobs_and_no_claimed_job(storage: Storage) -> None:
    ids = storage.submit(5, priority=3)
    storage.age(ids, 100)
    (held,) = storage.claimer().claim(1)
    connection = storage.connection()
    assert len(queue_state.raise_starved(connection, 60, 3)) == 3
    assert len(queue_state.raise_starved(connection, 60, 3)) == 1
    assert storage.value("SELECT priority FROM live WHERE id = %s", (held.id,)) == 3

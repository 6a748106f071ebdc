"""The guard against starvation: off, priorities are exact; on, who has waited long enough goes first."""

from integration.store.support.storage import Storage

from common.store.queues import queue_state


def test_who_has_waited_long_enough_goes_first(storage: Storage) -> None:
    (old,) = storage.submit(1, priority=9)
    storage.age([old], 100)
    first = storage.submit(3, priority=0)
    late = storage.submit(2, priority=9)
    connection = storage.connection()
    assert queue_state.raise_starved(connection, 60, 100) == ["default"]
    assert queue_state.raise_starved(connection, 60, 100) == []
    assert [job.id for job in storage.claimer().claim()] == [*first, old, *late]


def test_no_more_than_so_many_are_raised_at_once_and_none_that_a_worker_has(storage: Storage) -> None:
    ids = storage.submit(5, priority=3)
    storage.age(ids, 100)
    (held,) = storage.claimer().claim(1)
    connection = storage.connection()
    assert len(queue_state.raise_starved(connection, 60, 3)) == 3
    assert len(queue_state.raise_starved(connection, 60, 3)) == 1
    assert storage.one("SELECT priority FROM live WHERE id = %s", (held.id,)) == 3

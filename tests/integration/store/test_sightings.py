"""Operations that workers have known: which are marked, which are forgotten, and which never."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from integration.store.support.storage import LONG_S, Storage

from common.domain.operation_spec import OperationSpec
from common.store.operations import catalogue, sightings
from common.store.workers import leases

ENCODE = OperationSpec("encode", "video")
DAY_H = 24


def publish(storage: Storage, *specs: OperationSpec) -> None:
    catalogue.publish(storage.connection(), specs)


def worker(storage: Storage, queues: Sequence[str], operations: Sequence[str], lease_s: float = LONG_S) -> int:
    return leases.register(storage.connection(), lease_s, 1, "host", queues, operations)


def unseen_for(storage: Storage, hours: float, name: str = "encode") -> None:
    storage.rows(
        "UPDATE operations SET seen_at = clock_timestamp() - %s * interval '1 h' WHERE name = %s", (hours, name)
    )


def forget(storage: Storage) -> list[str]:
    return sightings.forget(storage.connection(), DAY_H)


def known(storage: Storage) -> set[str]:
    with storage.engine.begin() as connection:
        return set(catalogue.read(connection))


def test_an_operation_that_the_workers_of_its_queue_have_not_known_for_long_is_forgotten(storage: Storage) -> None:
    publish(storage, ENCODE)
    worker(storage, ["video"], ["square_sum"])
    unseen_for(storage, DAY_H - 1)
    assert forget(storage) == []
    unseen_for(storage, DAY_H + 1)
    assert forget(storage) == ["encode"]
    assert "encode" not in known(storage)
    publish(storage, ENCODE)
    assert "encode" in known(storage)
    assert forget(storage) == []


@pytest.mark.parametrize(
    ("queues", "operations", "lease_s"),
    [
        pytest.param(["default"], ["square_sum"], LONG_S, id="its workers are scaled to zero and others live"),
        pytest.param(["video"], ["square_sum"], -1, id="no worker lives"),
        pytest.param(["video"], ["encode"], LONG_S, id="a worker knows it and has not marked it"),
        pytest.param(["video"], ["encode@3"], LONG_S, id="a worker knows another version"),
        pytest.param(["default"], ["encode"], LONG_S, id="a worker of another queue knows it"),
    ],
)
def test_an_operation_is_kept_while(storage: Storage, queues: list[str], operations: list[str], lease_s: float) -> None:
    publish(storage, replace(ENCODE, version=2))
    unseen_for(storage, DAY_H * 365)
    worker(storage, queues, operations, lease_s)
    if operations != ["square_sum"]:  # one that does not know it serves the queue beside
        worker(storage, ["video"], ["square_sum"])
    assert forget(storage) == []


def test_a_mark_is_written_only_if_the_last_one_is_old(storage: Storage) -> None:
    publish(storage, ENCODE)
    unseen_for(storage, 1)
    connection = storage.connection()
    row = "SELECT xmin::text, seen_at > clock_timestamp() - interval '1 min' FROM operations WHERE name = 'encode'"
    assert sightings.mark_seen(connection, ["encode", "square_sum"], 300) == set()
    ((marked, is_new),) = storage.rows(row)
    assert is_new
    assert sightings.mark_seen(connection, ["encode"], 300) == set()
    assert storage.rows(row) == [(marked, True)]


def test_a_mark_waits_for_no_other_and_names_what_is_missing(storage: Storage) -> None:
    publish(storage, ENCODE)
    unseen_for(storage, 1)
    locked = storage.session()
    locked.cursor().execute("SELECT FROM operations WHERE name = 'encode' FOR UPDATE")
    assert sightings.mark_seen(storage.connection(), ["encode", "gone"], 300) == {"gone"}
    locked.rollback()


def test_a_change_of_an_operation_is_no_older_than_its_mark(storage: Storage) -> None:
    publish(storage, ENCODE)
    with storage.engine.begin() as connection:
        seen = sightings.seen_at(connection)
    assert set(seen) == known(storage)
    assert storage.value("SELECT now() - min(seen_at) < interval '1 h' FROM operations")


def test_the_workers_that_live_are_seen_with_what_they_know(storage: Storage) -> None:
    def seen() -> sightings.SeenWorkers:
        with storage.engine.begin() as connection:
            return sightings.seen_workers(connection)

    assert seen() == sightings.SeenWorkers()
    gone = worker(storage, ["default"], ["square_sum"], lease_s=-60)
    assert seen().live == 0
    assert 60 <= (seen().last_seen_s or 0) < 90
    worker(storage, ["default"], ["encode@2", "encode", "square_sum"])
    worker(storage, ["default"], ["encode@2", "encode"])
    now = seen()
    assert (now.live, now.operations) == (2, ("encode", "square_sum"))
    assert now.last_seen_s == 0
    assert gone

"""Suspended tenants: their jobs stay where they are, and are claimed when these are active again."""

import pytest
from integration.store.support.storage import Storage, ids
from integration.store.support.tenants import FairClaimer, add_tenants, fill, requeue_strays, suspend

from common.store.queues import queue_state

HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"


@pytest.fixture
def claimer(storage: Storage) -> FairClaimer:
    add_tenants(storage, 2)
    return FairClaimer(storage)


def test_jobs_of_a_suspended_tenant_stay_and_are_claimed_when_it_is_resumed(
    storage: Storage, claimer: FairClaimer
) -> None:
    mine, others = fill(storage, 2, 30, HOUR_AGO), fill(storage, 1, 250, HOUR_AGO)
    suspend(storage, 2)
    claimed = [job for _ in range(5) for job in ids(claimer.run())]
    assert sorted(claimed) == sorted(others)
    claimer.renew()
    connection = storage.connection(by_index=False)
    assert requeue_strays(storage, None) == []
    assert queue_state.due_queues(connection) == [], "no doorbell rings for it"
    assert queue_state.oldest_due_s(connection)["default"] == 0, "nobody is refused for it"
    assert queue_state.depth(connection, 1_000)["default"] == (0, 0), "no worker starts for it"
    (more,) = fill(storage, 1, 1)
    assert ids(claimer.run()) == [more], "others go on"
    suspend(storage, 2, "ACTIVE")
    assert requeue_strays(storage, None) == [], "its jobs keep their places"
    assert ids(claimer.run()) == mine
    assert claimer.run() == []


def test_a_new_process_claims_nothing_of_a_suspended_tenant(storage: Storage, claimer: FairClaimer) -> None:
    fill(storage, 2, 3)
    suspend(storage, 2)
    assert claimer.run() == []
    assert storage.value("SELECT max(attempt) FROM live") == 0

"""Paused queues: exact beside claims that run, for one tenant or for all; what waits is left alone."""

import asyncio
import json
import threading
import time

import asyncpg
import pytest
from integration.store.support.query_plans import explain
from integration.store.support.storage import Storage, ids
from integration.store.support.tenants import FairClaimer, add_tenants, fill, requeue_strays
from rig.system import until

from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.jobs import claims
from common.store.jobs.claims import PolicyFound
from common.store.queues import begun_transactions, policies, queue_state
from common.store.workers.low_water_marks import LowWaterMarks
from common.store.workers.results import Results

HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"


def set_paused(storage: Storage, *, paused: bool, tenant: int = 1, queue: str = "default") -> bool:
    with storage.engine.begin() as connection:
        return policies.set_paused(connection, tenant, queue, "test", paused=paused)


@pytest.mark.parametrize("tenant", [1, ALL_TENANTS])
def test_nothing_of_a_paused_queue_is_claimed_until_it_is_resumed(storage: Storage, tenant: int) -> None:
    claimer = FairClaimer(storage)
    jobs = fill(storage, 1, 30, HOUR_AGO)
    assert ids(claimer.run(10)) == jobs[:10]
    assert set_paused(storage, paused=True, tenant=tenant)
    assert not set_paused(storage, paused=True, tenant=tenant), "safe to repeat"
    before = storage.rows("SELECT * FROM live ORDER BY id")
    assert [claimer.run(10) for _ in range(3)] == [[], [], []]
    assert FairClaimer(storage).run() == [], "a new process"
    claimer.renew()
    connection = storage.connection(by_index=False)
    assert requeue_strays(storage, None) == []
    assert queue_state.raise_starved(connection, 0, 10) == []
    assert queue_state.due_queues(connection) == [], "no doorbell rings for it"
    assert queue_state.oldest_due_s(connection)["default"] == 0
    assert queue_state.depth(connection, 1_000)["default"] == (0, 0), "no worker starts for it"
    assert storage.rows("SELECT * FROM live ORDER BY id") == before, "what waits costs no writes"
    assert set_paused(storage, paused=False, tenant=tenant)
    assert requeue_strays(storage, None) == [], "its jobs keep their places"
    assert queue_state.depth(connection, 1_000)["default"] == (20, 0)
    assert ids(claimer.run(10)) == jobs[10:20]
    assert ids(FairClaimer(storage).run(10)) == jobs[20:]


def test_the_pause_of_a_tenant_leaves_the_others_alone(storage: Storage) -> None:
    add_tenants(storage, 2)
    claimer = FairClaimer(storage)
    mine, others = fill(storage, 2, 30, HOUR_AGO), fill(storage, 1, 250, HOUR_AGO)
    set_paused(storage, paused=True, tenant=2)
    claimed = [job for _ in range(5) for job in ids(claimer.run())]
    assert sorted(claimed) == sorted(others)
    claimer.renew()
    assert requeue_strays(storage, None) == []
    assert queue_state.depth(storage.connection(by_index=False), 1_000)["default"] == (0, 0)
    (more,) = fill(storage, 1, 1)
    assert ids(claimer.run()) == [more]
    set_paused(storage, paused=False, tenant=2)
    assert requeue_strays(storage, None) == []
    assert ids(claimer.run()) == mine


def test_other_queues_go_on(storage: Storage) -> None:
    storage.rows("UPDATE workers SET queues = '{default,other}'")
    set_paused(storage, paused=True)
    claimer = FairClaimer(storage, "other")
    assert ids(claimer.run()) == [] and storage.submit(3, queue="other") == ids(claimer.run())


def test_a_refused_claim_settles_and_keeps_its_marks(storage: Storage) -> None:
    claimer = storage.claimer()
    job = storage.submit(1)
    jobs = claimer.claim()
    set_paused(storage, paused=True)
    marks = json.dumps([claimer.marks.claimable_at, claimer.marks.id])
    settled = Results()
    settled.add(jobs[0], "1", 0.1)
    with pytest.raises(PolicyFound) as found:
        claims.settle_and_claim(claimer.connection, claimer.id, settled, "default", claimer.marks, 10)
    assert found.value.stored == 1
    assert json.dumps([claimer.marks.claimable_at, claimer.marks.id]) == marks
    assert storage.state(job[0]) == "SUCCESS"


def test_the_scan_of_a_refused_claim_does_not_begin(storage: Storage) -> None:
    storage.fill(1_000)
    claimer, marks = storage.claimer(), LowWaterMarks()
    arguments = (
        *(claimer.id, *Results().arguments(), "default", claims._PRIORITY_ARRAY),
        *("{" + ",".join(marks.claimable_at.values()) + "}", "{" + ",".join(marks.id.values()) + "}", 10),
    )
    plan = explain(claimer.connection, claims.SETTLE_AND_CLAIM, arguments)
    assert [node for node in plan.scans("live") if node.get("Index Name") == "live_due"]
    assert len(plan.scans("queue_policies")) == 1, "one look a claim"
    set_paused(storage, paused=True)
    plan = explain(claimer.connection, claims.SETTLE_AND_CLAIM, arguments)
    assert any("One-Time Filter" in node for node in plan.nodes)
    assert not [node for node in plan.scans("live") if node.get("Index Name") == "live_due"]


async def _wait(storage: Storage) -> float:
    """Wait as the API does; return how long it took."""
    connection = await storage.connect()
    began_at = time.monotonic()
    left = await begun_transactions.begun(connection)
    while left:
        left = await begun_transactions.still_open(connection, left, without_readers=time.monotonic() - began_at > 1)
        await asyncio.sleep(0.002)
    await connection.close()
    return time.monotonic() - began_at


def test_nothing_is_claimed_after_the_wait_of_a_pause(storage: Storage) -> None:
    storage.fill(40_000)
    stopped = threading.Event()

    def claim() -> None:
        claimer = FairClaimer(storage)
        while not stopped.is_set():
            claimer.settle(claimer.known.settle_and_claim(claimer.connection, claimer.id, Results(), 50)[1])

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            until("jobs are claimed", lambda: storage.value("SELECT count(*) FROM outcomes") > 0)
            set_paused(storage, paused=True)
            asyncio.run(_wait(storage))
            confirmed = storage.value("SELECT clock_timestamp()")
            claimed = storage.value("SELECT count(*) FROM live WHERE attempt > 0") + storage.value(
                "SELECT count(*) FROM outcomes"
            )
            time.sleep(0.1)  # a claim that was missed would show in it
            assert storage.value("SELECT count(*) FROM outcomes WHERE started_at > %s", (confirmed,)) == 0
            assert claimed == storage.value("SELECT count(*) FROM live WHERE attempt > 0") + storage.value(
                "SELECT count(*) FROM outcomes"
            )
            set_paused(storage, paused=False)
            storage.rows("DELETE FROM outcomes")
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_the_wait_is_for_claims_and_not_for_a_dump(storage: Storage) -> None:
    claim, dump = storage.session(), storage.session()
    with dump.cursor() as cursor:
        cursor.execute("LOCK TABLE live IN ACCESS SHARE MODE")
    assert asyncio.run(_wait(storage)) < 3
    with claim.cursor() as cursor:
        cursor.execute("UPDATE live SET rev = rev WHERE false")
    waiting = threading.Thread(target=lambda: asyncio.run(_wait(storage)))
    waiting.start()
    waiting.join(1.3)
    assert waiting.is_alive(), "a claim that is not committed may still be"
    claim.rollback()
    waiting.join(10)
    assert not waiting.is_alive()


def test_other_roles_see_the_transactions_of_workers(storage: Storage) -> None:
    session = storage.session()
    with session.cursor() as cursor:
        cursor.execute("SELECT 1")

    async def as_nobody(connection: asyncpg.Connection) -> int:
        async with connection.transaction():
            await connection.execute("CREATE ROLE nobody_at_all; SET ROLE nobody_at_all")
            seen = len(await begun_transactions.begun(connection))
            await connection.execute("RESET ROLE; DROP ROLE nobody_at_all")
            return seen

    assert storage.api(as_nobody) >= 1

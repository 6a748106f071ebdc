"""Limits of queues: jobs at once by slots, jobs a second by tokens; exact beside each other and over lost processes."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from integration.store.support.query_plans import explain
from integration.store.support.storage import Storage, ids
from integration.store.support.tenants import FairClaimer, add_tenants, by_tenant, fill

from common.domain.tenancy.queue_policies import ALL_TENANTS, MAX_CONCURRENCY
from common.store.jobs.limits import policy_claims
from common.store.jobs.limits.policy_claims import JobsInHand
from common.store.queues import policies, queue_state
from common.store.workers import leases
from common.store.workers.results import Results
from worker.execution.worker_session import release_all

HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"
RUNNING = "SELECT count(*) FROM live WHERE worker IS NOT NULL"


def limit(storage: Storage, tenant: int = 1, **members: Any) -> None:
    if "rate" in members:
        members.setdefault("burst", 1)
    with storage.engine.begin() as connection:
        policies.change(connection, tenant, "default", members, "test")


def held(storage: Storage) -> int:
    return int(storage.value("SELECT count(*) FROM queue_slots WHERE worker IS NOT NULL"))


@pytest.mark.parametrize("tenant", [1, ALL_TENANTS])
def test_no_more_processes_than_the_limit_have_jobs(storage: Storage, tenant: int) -> None:
    jobs = fill(storage, 1, 100, HOUR_AGO)
    limit(storage, tenant, concurrency=2)
    first, second, third = (FairClaimer(storage) for _ in range(3))
    assert ids(first.claim(10)) == jobs[:10]
    assert ids(second.claim(10)) == jobs[10:20]
    before = storage.rows("SELECT xmin::text, * FROM queue_slots")
    assert third.claim(10) == []
    assert storage.rows("SELECT xmin::text, * FROM queue_slots") == before, "what waits writes nothing"
    first.settle(first.known.settle_and_claim(first.connection, first.id, Results(), 10)[1])
    assert third.claim(10) == [], "the first process keeps its slot from claim to claim"
    policy_claims.give_back_slots(first.connection, first.id, "default")
    assert len(third.claim(10)) == 10


def test_a_claim_that_finds_nothing_gives_the_slot_back(storage: Storage) -> None:
    limit(storage, concurrency=1)
    claimer = FairClaimer(storage)
    fill(storage, 1, 1)
    claimer.run()
    assert held(storage) == 1
    assert claimer.run() == []
    assert held(storage) == 0
    before = storage.rows("SELECT xmin::text FROM queue_slots")
    assert claimer.run() == []
    assert storage.rows("SELECT xmin::text FROM queue_slots") == before


def test_a_slot_ends_with_the_lease_of_its_process(storage: Storage) -> None:
    fill(storage, 1, 20, HOUR_AGO)
    limit(storage, concurrency=1)
    lost, other = FairClaimer(storage), FairClaimer(storage)
    assert lost.claim(5)
    assert other.claim(5) == []
    release_all(other.connection, lost.id)
    assert len(other.claim(5)) == 5


@pytest.mark.parametrize("tenant", [1, ALL_TENANTS])
def test_a_claim_planned_without_slots_reads_each_once(storage: Storage, tenant: int) -> None:
    """Such a plan may be a join that begins at the table of slots."""
    claimer = FairClaimer(storage)
    settled = Results().arguments()
    arguments = (claimer.id, *settled, "default", *["{}"] * 7, 10, *JobsInHand().arguments())
    explain(claimer.connection, policy_claims.SETTLE_AND_CLAIM_UNDER_POLICIES, arguments)
    limit(storage, tenant, concurrency=MAX_CONCURRENCY)
    fill(storage, 1, 2)
    assert len(claimer.claim(1)) == 1
    plan = explain(claimer.connection, policy_claims.SETTLE_AND_CLAIM_UNDER_POLICIES, arguments)
    assert plan.read("queue_slots", "queue_slots_pkey") < 1.1 * MAX_CONCURRENCY, plan


def test_jobs_of_an_event_loop_have_a_slot_each(storage: Storage) -> None:
    fill(storage, 1, 20, HOUR_AGO)
    limit(storage, concurrency=5)
    claimer, running = FairClaimer(storage), list[Any]()
    claimer.known._jobs_in_hand = lambda _: JobsInHand(True, {1: len(running)} if running else {})
    running += claimer.claim(3)
    assert (len(running), held(storage)) == (3, 3)
    running += claimer.claim(10)
    assert (len(running), held(storage)) == (5, 5)
    assert claimer.claim(10) == []
    other = FairClaimer(storage)
    assert other.claim(10) == []
    claimer.settle(running[:2])
    del running[:2]
    running += claimer.claim(1)
    assert (len(running), held(storage)) == (4, 4), "it has what it needs, and no more"
    assert other.claim(10)
    new = leases.register(claimer.connection, 300, 1, "host", ["default"], [])
    policy_claims.move_slots(claimer.connection, new, [claimer.id])
    assert storage.value("SELECT count(*) FROM queue_slots WHERE worker = %s", (new,)) == 4


def test_a_changed_limit_holds_from_the_next_claim_on(storage: Storage) -> None:
    fill(storage, 1, 200, HOUR_AGO)
    limit(storage, concurrency=1)
    claimers = [FairClaimer(storage) for _ in range(4)]
    assert [bool(claimer.run(5)) for claimer in claimers] == [True, False, False, False]
    limit(storage, concurrency=3)
    assert [bool(claimer.run(5)) for claimer in claimers] == [True, True, True, False]
    limit(storage, concurrency=2)
    assert sum(bool(claimer.run(5)) for claimer in claimers) == 2
    limit(storage, concurrency=None)
    assert all(claimer.run(5) for claimer in claimers)
    assert all(claimer.run(5) for claimer in claimers), "by the plain claim again"
    assert not any(claimer.known.policies.in_force for claimer in claimers)


def test_the_limit_of_a_tenant_leaves_the_others_alone(storage: Storage) -> None:
    add_tenants(storage, 3)
    for tenant in (1, 2, 3):
        fill(storage, tenant, 100, HOUR_AGO)
    limit(storage, 2, concurrency=1)
    limit(storage, ALL_TENANTS, rate=0.001, burst=60)
    first, second = FairClaimer(storage), FairClaimer(storage)
    claimed = by_tenant(first.claim(30))
    assert set(claimed) == {1, 2, 3}
    claimed = by_tenant(second.claim(100))
    assert 2 not in claimed
    assert sum(claimed.values()) == 30, "the tokens of all tenants together"
    assert second.claim(100) == []


def test_tokens_are_paid_by_the_claim(storage: Storage) -> None:
    fill(storage, 1, 100, HOUR_AGO)
    limit(storage, rate=0.01, burst=7)
    claimer = FairClaimer(storage)
    assert len(claimer.run(5)) == 5
    assert len(claimer.run(5)) == 2
    before = storage.rows("SELECT xmin::text, xmax::text, tokens FROM queue_policies")
    assert claimer.run(5) == []
    assert storage.rows("SELECT xmin::text, xmax::text, tokens FROM queue_policies") == before
    assert claimer.known.policies.wait_s == pytest.approx(100, abs=5)
    limit(storage, rate=1000, burst=50)
    time.sleep(0.05)
    assert len(claimer.run(100)) in range(20, 51)
    limit(storage, rate=None, burst=None)
    assert len(claimer.run(100)) > 20


def test_no_worker_starts_for_what_waits_for_a_limit(storage: Storage) -> None:
    storage.fill(50)
    claimer, connection = FairClaimer(storage), storage.connection(by_index=False)
    assert queue_state.depth(connection, 100)["default"] == (50, 0)
    for_keda = "SELECT queue_depth('default', 100)"
    assert storage.value(for_keda) == 50
    limit(storage, concurrency=4)
    assert queue_state.depth(connection, 100)["default"] == (4, 0)
    claimer.claim(3)
    assert queue_state.depth(connection, 100)["default"] == (1, 3)
    assert storage.value(for_keda) == 4
    limit(storage, concurrency=None, rate=2, burst=5)
    assert queue_state.depth(connection, 100)["default"] == (7, 3), "the tokens, and those of the next second"
    assert storage.value(for_keda) == 10
    assert queue_state.due_queues(connection) == ["default"]
    limit(storage, paused=True)
    assert storage.value(for_keda) == 3


@contextmanager
def processes(storage: Storage, count: int, job_s: float, batch: int, *, dying: float = 0) -> Iterator[list[int]]:
    """Run processes that claim and settle; some die in between, and their jobs are rescued a while later."""
    stopped, most, lock = threading.Event(), [0], threading.Lock()

    def run(seed: int) -> None:
        chance, claimer = random.Random(seed), FairClaimer(storage)
        while not stopped.is_set():
            jobs = claimer.known.settle_and_claim(claimer.connection, claimer.id, Results(), batch)[1]
            if not jobs:
                time.sleep(0.005)
            for number, _ in enumerate(jobs):
                with lock:
                    working = storage_of_thread.value(
                        "SELECT count(DISTINCT worker) FROM live WHERE worker IS NOT NULL"
                    )
                    most[0] = max(most[0], working)
                time.sleep(job_s)
                if chance.random() < dying:
                    claimer.die()
                    claimer = FairClaimer(storage)
                    break
                claimer.settle(jobs[number : number + 1])

    storage_of_thread = storage
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield most
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_the_limit_is_kept_by_many_processes_that_die(storage: Storage) -> None:
    storage.fill(400)
    limit(storage, concurrency=3)
    with processes(storage, 8, 0.002, 5, dying=0.05) as most:
        time.sleep(4)
    assert most[0] == 3
    assert storage.value("SELECT count(*) FROM outcomes") > 50
    for worker in storage.rows("SELECT id FROM workers WHERE ended_at IS NULL"):
        release_all(storage.connection(), worker[0])
    limit(storage, concurrency=3)
    assert ids(FairClaimer(storage).claim(1)) or not storage.value("SELECT count(*) FROM live"), "no slot is left over"


def test_the_rate_is_kept_by_many_processes(storage: Storage) -> None:
    storage.fill(5_000)
    limit(storage, rate=100, burst=10)
    with processes(storage, 6, 0, 20):
        time.sleep(3)
    starts = [
        row[0]
        for row in storage.rows(
            """SELECT extract(epoch FROM started_at)::float8 FROM (SELECT started_at FROM live UNION ALL
           SELECT started_at FROM outcomes) s WHERE started_at IS NOT NULL ORDER BY 1"""
        )
    ]
    assert 200 <= len(starts) <= 320
    over = max(
        later - earlier + 1 - (starts[later] - starts[earlier]) * 100
        for earlier in range(0, len(starts), 3)
        for later in range(earlier, len(starts))
    )
    assert over <= 10 + 100 * 0.05, "the bucket's clock is at most 50 ms off the starts"

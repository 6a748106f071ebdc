"""Random claims, late commits, rollbacks and deaths between tenants: every job runs once, and none is left behind."""

import random
from dataclasses import dataclass, field

import pytest
from integration.store.support.storage import RELEASE, Storage, ids, retry_after
from integration.store.support.tenants import FairClaimer, add_tenants, fill, requeue_strays, suspend

from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import failures
from common.store.workers import leases

TENANTS, STEPS, PROCESSES = 5, 120, 3


@dataclass
class World:
    """Three processes, and what each holds."""

    storage: Storage
    chance: random.Random
    processes: list[FairClaimer] = field(default_factory=list)
    held: dict[int, list[ClaimedJob]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.processes = [FairClaimer(self.storage) for _ in range(PROCESSES)]

    def pick(self) -> FairClaimer:
        return self.chance.choice(self.processes)

    # --- steps

    def submit(self) -> None:
        """Store jobs: at once, later, late by less or more than the slack, or a backlog."""
        tenant, priority = self.chance.randint(1, TENANTS), self.chance.choice([0, 5, 5, 5, 9])
        count = self.chance.choice([1, 1, 3, 40])
        at = self.chance.choice(["", "", "+ interval '0.3 s'", "- interval '0.3 s'", "- interval '3 s'"])
        at = self.chance.choice([at, at, at, "- interval '1 h' + row_number() OVER () * interval '1 ms'"])
        self.stored |= set(fill(self.storage, tenant, count, f"clock_timestamp() {at}", priority=priority))

    def claim(self) -> None:
        process = self.pick()
        self.hold(process, process.claim(self.chance.choice([1, 3, 10, 30])))

    def hold(self, process: FairClaimer, jobs: list[ClaimedJob]) -> None:
        self.held.setdefault(process.id, []).extend(jobs)
        for job in jobs:
            process.known.share.ran(job.tenant, self.chance.choice([0.001, 0.001, 0.05]))

    def roll_back_a_claim(self) -> None:
        """Claim in a transaction that is rolled back; others claim meanwhile."""
        process = self.pick()
        process.connection._cursor.execute("BEGIN")
        process.claim(self.chance.choice([1, 10]))
        for other in self.processes:
            if other is not process and self.chance.random() < 0.7:
                self.hold(other, other.claim(10))
        process.connection._cursor.execute("ROLLBACK")

    def die(self) -> None:
        """End a process, perhaps in the middle of a claim; its jobs are released as the controller does."""
        process = self.pick()
        process.connection._cursor.execute("BEGIN")
        process.claim(5)
        process.connection.close()
        self.processes.remove(process)
        connection: WorkerConnection = self.storage.connection(by_index=False)
        with connection.transaction():
            jobs = failures.lock_held(connection, process.id, 1_000)
            failures.write_decisions(connection, process.id, [(job, RELEASE) for job, _ in jobs])
            leases.end_lease(connection, process.id)
        self.held.pop(process.id, None)
        self.processes.append(FairClaimer(self.storage))

    def settle(self) -> None:
        process = self.pick()
        jobs = self.held.pop(process.id, [])
        self.done += process.settle(jobs)

    def give_back(self) -> None:
        """Release some held jobs and retry others."""
        process = self.pick()
        jobs = self.held.pop(process.id, [])
        process.write(jobs[::2], RELEASE)
        process.write(jobs[1::2], retry_after(self.chance.choice([0.0, 0.1])))

    def suspend_or_resume(self) -> None:
        suspend(self.storage, self.chance.randint(1, TENANTS), self.chance.choice(["SUSPENDED", "ACTIVE", "ACTIVE"]))

    def publish(self) -> None:
        for process in self.processes:
            process.renew()

    def requeue(self) -> None:
        requeue_strays(self.storage, self.chance.choice([60.0, None]))

    def drain(self) -> None:
        """Let everything go on until nothing is left, as it would; the ends of retries are waited for."""
        for tenant in range(1, TENANTS + 1):
            suspend(self.storage, tenant, "ACTIVE")
        self.storage.rows("UPDATE tenants SET changed_at = now() - interval '1 h'")  # a minute ago
        for process in self.processes:
            self.done += process.settle(self.held.pop(process.id, []))
        for _ in range(60):
            ran = 0
            for process in self.processes:
                while jobs := process.run(50):
                    self.done += ids(jobs)
                    ran += len(jobs)
            self.publish()
            if not self.storage.value("SELECT count(*) FROM live"):
                return
            if not ran:
                requeue_strays(self.storage, None)
        raise AssertionError(
            self.storage.rows("SELECT tenant, priority, claimable_at, worker, now() FROM live LIMIT 5")
        )


STEPS_AND_WEIGHTS = {
    World.submit: 8,
    World.claim: 14,
    World.settle: 4,
    World.give_back: 2,
    World.roll_back_a_claim: 2,
    World.die: 1,
    World.publish: 2,
    World.requeue: 1,
    World.suspend_or_resume: 1,
}


@pytest.mark.parametrize("seed", range(6))
def test_every_job_of_every_tenant_runs_once_whatever_happens_to_claims(storage: Storage, seed: int) -> None:
    add_tenants(storage, TENANTS, t2=2.5)
    world = World(storage, random.Random(seed))
    world.start()
    steps = world.chance.choices(list(STEPS_AND_WEIGHTS), list(STEPS_AND_WEIGHTS.values()), k=STEPS)
    for step in steps:
        step(world)
        if world.chance.random() < 0.1:
            requeued = requeue_strays(storage, None)
            assert len(requeued) <= len(world.stored)
    world.drain()
    assert len(world.done) == len(set(world.done))
    assert set(world.done) == world.stored

"""Concurrency keys: places and tokens of each key, exact beside each other; waiting jobs are parked."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import pytest
from integration.store.support.query_plans import explain
from integration.store.support.storage import Storage, ids
from integration.store.support.tenants import FairClaimer

from common.domain.job import ClaimedJob, ConcurrencyKey, Options
from common.store.connection.statement import array_literal
from common.store.jobs.limits import concurrency_keys
from common.store.queues import policies, queue_state
from worker.execution.worker_session import release_all

PARKED = "SELECT count(*) FROM live WHERE claimable_at = 'infinity'"


def limit(storage: Storage, **members: Any) -> None:
    if "key_rate" in members:
        members.setdefault("key_burst", 1)
    with storage.engine.begin() as connection:
        policies.change(connection, 1, "default", members, "test")


def submit(storage: Storage, keys: Sequence[str]) -> list[str]:
    jobs = sorted(storage.new(len(keys)), key=lambda job: job.id)
    stored = storage.store(
        [replace(job, options=Options(concurrency_key=key)) for job, key in zip(jobs, keys, strict=True)]
    )
    by_place = "SELECT id::text FROM live WHERE id = ANY (%s::uuid[]) ORDER BY coalesce(due_since, claimable_at), id"
    return [row[0] for row in storage.rows(by_place, (stored,))]


class KeyedClaimer(FairClaimer):
    """A process that takes places of keys for what it has claimed, as workers do."""

    def admitted(self, limit: int = 100) -> list[ClaimedJob]:
        jobs = self.claim(limit)
        ready, self.wait_s = concurrency_keys.admit(self.connection, self.id, self.queue, jobs)
        return ready

    def end(self, jobs: Sequence[ClaimedJob]) -> None:
        self.settle(jobs)
        concurrency_keys.wake(self.connection, {job.concurrency_key for job in jobs if job.concurrency_key})


def test_no_more_jobs_of_a_key_run_at_once_than_its_limit(storage: Storage) -> None:
    limit(storage, key_concurrency=2)
    first, second = KeyedClaimer(storage), KeyedClaimer(storage)
    jobs = submit(storage, ["a"] * 5 + ["b"])
    assert storage.value(PARKED) == 3, "at submission"
    taken = first.admitted()
    assert ids(taken) == [*jobs[:2], jobs[5]]
    assert second.admitted() == []
    before = storage.rows("SELECT * FROM live ORDER BY id")
    assert second.admitted() == []
    assert storage.rows("SELECT * FROM live ORDER BY id") == before, "what waits costs no writes"
    first.end(taken[:1])
    assert ids(second.admitted()) == [jobs[2]]
    assert second.admitted() == []
    first.end(taken[1:])
    (last,) = second.admitted()
    assert last.id == jobs[3]
    assert queue_state.depth(storage.connection(by_index=False), 100)["default"] == (0, 2)


def test_jobs_from_before_the_limit_are_parked_by_their_claims(storage: Storage) -> None:
    jobs = submit(storage, ["a"] * 50)
    assert storage.value(PARKED) == 0
    limit(storage, key_concurrency=1)
    claimer = KeyedClaimer(storage)
    taken = claimer.admitted(10)
    assert ids(taken) == jobs[:1]
    assert storage.value(PARKED) == 49
    for job in jobs[1:]:
        claimer.end(taken)
        taken = claimer.admitted(10)
        assert ids(taken) == [job]


def test_a_raised_limit_and_none_let_the_parked_go(storage: Storage) -> None:
    limit(storage, key_concurrency=1)
    jobs = submit(storage, ["a"] * 10)
    claimer, controller = KeyedClaimer(storage), storage.connection(by_index=False)
    taken = claimer.admitted()
    assert len(taken) == 1
    limit(storage, key_concurrency=4)
    assert concurrency_keys.wake_in_turn(controller, concurrency_keys.NO_GROUP, 100)[0] == 3
    taken += claimer.admitted()
    assert len(taken) == 4
    limit(storage, key_concurrency=None)
    assert concurrency_keys.wake_in_turn(controller, concurrency_keys.NO_GROUP, 100)[0] == 6
    assert ids(taken + claimer.admitted()) == jobs


def test_a_place_of_a_lost_or_cancelled_job_is_free(storage: Storage) -> None:
    limit(storage, key_concurrency=1)
    jobs = submit(storage, ["a"] * 3)
    lost, other, controller = KeyedClaimer(storage), KeyedClaimer(storage), storage.connection(by_index=False)
    assert ids(lost.admitted()) == jobs[:1]
    release_all(other.connection, lost.id)
    concurrency_keys.wake_in_turn(controller, concurrency_keys.NO_GROUP, 100)
    taken = other.admitted()
    assert ids(taken) == jobs[:1], "it is before the others"
    storage.rows("DELETE FROM live WHERE id = %s", (jobs[0],))
    assert concurrency_keys.wake_in_turn(controller, concurrency_keys.NO_GROUP, 100)[0] == 1
    assert ids(other.admitted()) == jobs[1:2]


def test_jobs_of_a_key_start_at_its_rate(storage: Storage) -> None:
    limit(storage, key_rate=20, key_burst=2)
    jobs = submit(storage, ["a"] * 6 + ["b"] * 2)
    claimer, started = KeyedClaimer(storage), list[ClaimedJob]()
    taken = claimer.admitted()
    assert ids(taken) == [*jobs[:2], *jobs[6:]]
    assert claimer.wait_s == pytest.approx(0.05, abs=0.03)
    began_at = time.monotonic()
    claimer.end(taken)
    while len(started) < 4:
        started += (ready := claimer.admitted())
        claimer.end(ready)
        assert time.monotonic() - began_at < 10
        time.sleep(0.005)
    assert sorted(ids(started)) == sorted(jobs[2:6])  # one that waits for a token may be overtaken
    assert 0.15 < time.monotonic() - began_at < 1


def test_keys_that_nobody_uses_are_deleted(storage: Storage) -> None:
    limit(storage, key_concurrency=1, key_rate=0.001)
    submit(storage, ["a", "b"])
    claimer, controller = KeyedClaimer(storage), storage.connection(by_index=False)
    taken = claimer.admitted()
    assert concurrency_keys.delete_unused(controller, 0, 10) == 0, "their buckets are not full"
    limit(storage, key_rate=None, key_burst=None)
    assert concurrency_keys.delete_unused(controller, 0, 10) == 0, "their jobs run"
    claimer.end(taken)
    assert concurrency_keys.delete_unused(controller, 0, 10) == 2


def test_a_place_planned_without_keys_is_found_among_many(storage: Storage) -> None:
    """Such a plan may read all keys of the queue."""
    claimer = KeyedClaimer(storage)
    arguments = "default", "{1}", ["7"], array_literal([uuid.UUID(int=1)])
    explain(claimer.connection, concurrency_keys.TAKE, arguments)
    limit(storage, key_concurrency=1)
    storage.rows(
        "INSERT INTO concurrency_keys (tenant, queue, key) SELECT 1, 'default', n FROM generate_series(1, 1000) n"
    )
    plan = explain(claimer.connection, concurrency_keys.TAKE, arguments)
    assert plan.read("concurrency_keys", "concurrency_keys_pkey") == 2, plan


class Processes:
    """Processes that claim, run and settle jobs with keys; some die in between, and their jobs are released."""

    def __init__(self, storage: Storage, count: int) -> None:
        self._storage, self._stopped, self._lock = storage, threading.Event(), threading.Lock()
        self._running = Counter[ConcurrencyKey | None]()
        self.most_at_once = 0
        self._threads = [threading.Thread(target=self._run, args=(seed,)) for seed in range(count)]

    def _run(self, seed: int) -> None:
        chance, claimer = random.Random(seed), KeyedClaimer(self._storage)
        while not self._stopped.is_set():
            jobs = claimer.admitted(5)
            with self._lock:
                self._running.update(job.concurrency_key for job in jobs)
                self.most_at_once = max(self.most_at_once, *self._running.values(), 0)
            time.sleep(0.002 if jobs else 0.005)
            with self._lock:
                self._running.subtract(job.concurrency_key for job in jobs)
            if jobs and chance.random() < 0.1:
                claimer.die()
                claimer = KeyedClaimer(self._storage)
            else:
                claimer.end(jobs)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("most", [1, 3])
def test_the_limit_is_kept_by_many_processes_that_die(storage: Storage, most: int) -> None:
    limit(storage, key_concurrency=most)
    submit(storage, [random.Random(1).choice(["a", "b"]) for _ in range(300)])
    controller, place = storage.connection(by_index=False), concurrency_keys.NO_GROUP
    deadline = time.monotonic() + 60
    with Processes(storage, 6) as processes:
        while storage.value("SELECT count(*) FROM live"):
            assert time.monotonic() < deadline
            _, place = concurrency_keys.wake_in_turn(controller, place, 100)
            time.sleep(0.05)
    assert processes.most_at_once == most
    assert storage.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 300
    assert storage.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0

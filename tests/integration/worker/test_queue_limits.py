"""Limits of a queue through the API and real worker processes of two workers: sync and async jobs, a rate, a pause."""

import time

import pytest
from rig.system import System, until

UNFINISHED = "SELECT count(*) FROM live"


def most_at_once(system: System) -> int:
    """Return how many attempts were between their begin and their end, at the most."""
    running, most = set[str](), 0
    for entry in sorted(system.effects(), key=lambda entry: entry["at"]):
        (running.add if entry["phase"] == "begin" else running.discard)(entry["job"])
        most = max(most, len(running))
    return most


@pytest.mark.parametrize(("operation", "limit"), [("effect", 2), ("await_effect", 5)])
def test_no_more_jobs_run_at_once_than_the_limit(system: System, operation: str, limit: int) -> None:
    system.all().worker("second")
    answer = system.client.patch("/queues/default", json={"concurrency": limit})
    assert answer.raise_for_status().json()["policy"]["concurrency"] == limit
    system.submit_many(operation, [[0.05]] * 60)
    until("all jobs have ended", lambda: system.database.value(UNFINISHED) == 0, 60)
    assert most_at_once(system) == limit
    until("the slots are given back", lambda: not system.database.value("SELECT count(worker) FROM queue_slots"))


def test_a_killed_worker_gives_its_slots_back(system: System) -> None:
    system.all().worker("second")
    system.client.patch("/queues/default", json={"concurrency": 2}).raise_for_status()
    system.submit_many("effect", [[0.05]] * 80)
    for _ in range(3):
        until("a process has a slot", lambda: system.database.value("SELECT count(worker) FROM queue_slots"))
        system.kill("worker")
        system.end("worker")
        system.worker("worker")
    until("all jobs have ended", lambda: system.database.value(UNFINISHED) == 0, 60)
    running = "SELECT count(*) FROM queue_slots s JOIN workers w ON w.id = s.worker AND w.ended_at IS NULL"
    until("the slots are given back", lambda: not system.database.value(running))


@pytest.mark.parametrize("rate", [{"per_second": 20, "burst": 1}, {"per_second": 100, "burst": 20}])
def test_jobs_start_at_the_rate(system: System, rate: dict[str, float]) -> None:
    system.all().worker("second")
    system.client.patch("/queues/default", json={"rate": rate}).raise_for_status()
    jobs = int(rate["per_second"] * 3 + rate["burst"])
    began_at = time.monotonic()
    ids = system.submit_many("noop", [[0]] * jobs)
    until("all jobs have ended", lambda: system.database.value(UNFINISHED) == 0, 60)
    took_s = time.monotonic() - began_at
    assert 2.9 <= took_s < 5, "neither faster nor much slower"
    assert {system.status(job_id) for job_id in ids[:5]} == {"SUCCESS"}


def test_a_limited_queue_holds_up_no_other(system: System) -> None:
    system.api().worker(queues="default,slow").controller()
    system.client.patch("/queues/slow", json={"rate": {"per_second": 0.01, "burst": 1}}).raise_for_status()
    system.submit_many("other_queue", [[0]] * 50)
    began_at = time.monotonic()
    for _ in range(10):
        job_id = system.submit("noop", 0)
        system.wait_status(job_id, "SUCCESS")
    assert time.monotonic() - began_at < 5

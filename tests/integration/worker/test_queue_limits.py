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


@pytest.mark.parametrize("operation", ["effect", "await_effect"])
def test_jobs_of_a_key_run_one_after_the_other_beside_those_of_others(system: System, operation: str) -> None:
    system.all().worker("second")
    system.client.patch("/queues/default", json={"key_concurrency": 1}).raise_for_status()
    job = {"operation": operation, "data": [0.02]}
    jobs = [job | {"concurrency_key": f"k{number % 4}"} for number in range(80)]
    answer = system.client.post("/jobs/batch", json=[*jobs, job]).raise_for_status()
    keys = dict(zip(answer.json()["job_ids"], [job.get("concurrency_key") for job in jobs], strict=False))
    system.wait_all(60)
    entries = sorted(system.effects(), key=lambda entry: entry["at"])
    running = set[str]()
    most = 0
    for entry in entries:
        if (key := keys.get(entry["job"])) is None:
            continue
        if entry["phase"] == "begin":
            assert key not in running, "one at a time"
            running.add(key)
        else:
            running.discard(key)
        most = max(most, len(running))
    assert most > 1, "others run beside them"


def test_jobs_of_a_key_start_at_its_rate(system: System) -> None:
    system.all()
    rate = {"per_second": 20, "burst": 1}
    system.client.patch("/queues/default", json={"key_rate": rate}).raise_for_status()
    job = {"operation": "noop", "data": [0]}
    began_at = time.monotonic()
    system.client.post("/jobs/batch", json=[job | {"concurrency_key": "a"}] * 40 + [job] * 40).raise_for_status()
    until("the jobs without a key have ended", lambda: system.database.value(UNFINISHED) <= 40)
    assert time.monotonic() - began_at < 1.5
    system.wait_all(60)
    assert 1.9 <= time.monotonic() - began_at < 5


def test_a_killed_worker_frees_the_places_of_keys(system: System) -> None:
    system.all().worker("second")
    system.client.patch("/queues/default", json={"key_concurrency": 1}).raise_for_status()
    job = {"operation": "effect", "data": [0.05]}
    system.client.post("/jobs/batch", json=[job | {"concurrency_key": f"k{n % 2}"} for n in range(40)])
    for _ in range(2):
        until("jobs run", lambda: system.database.value("SELECT count(worker) FROM live"))
        system.kill("worker")
        system.end("worker")
        system.worker("worker")
    system.wait_all(60)


def test_a_unique_key_while_running_and_a_concurrency_key_exclude_each_other(system: System) -> None:
    system.api().worker()
    body = {"operation": "noop", "data": [0], "concurrency_key": "a", "unique": {"key": "b", "while": "running"}}
    answer = system.client.post("/jobs/", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "concurrency_key"
    job_id = system.client.post("/jobs/", json=body | {"unique": None}).json()["job_id"]
    assert system.client.get(f"/jobs/{job_id}").json()["concurrency_key"] == "a"

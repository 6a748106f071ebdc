"""Workflows under races and crashes: no job runs early, none is left, none falls without a cause."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import pytest
from integration.workflows.support.graphs import graph, violations
from integration.workflows.test_workflows import at_rest, jobs_of, step, submit
from rig.system import System, until

SEED = 20_261_130


def submit_graphs(system: System, chance: random.Random, count: int, **options: Any) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        graphs = [graph(chance, **options) for _ in range(count)]
        return [body["workflow_id"] for body in pool.map(lambda jobs: submit(system, jobs), graphs)]


def all_at_rest(system: System, limit_s: float = 60) -> None:
    until("all jobs have ended", lambda: not system.database.value("SELECT count(*) FROM live"), limit_s=limit_s)


def test_joins_of_two_last_parents_at_once_run_without_a_controller(system: System) -> None:
    """Nobody sweeps: who settles last asks after its commit, and sees both."""
    system.api().worker("first").worker("second")
    diamonds = [
        job
        for n in range(150)
        for job in (
            step(f"a{n}", operation="flow_plain"),
            step(f"b{n}", f"a{n}", operation="flow_plain"),
            step(f"c{n}", f"a{n}", operation="flow_plain"),
            step(f"d{n}", f"b{n}", f"c{n}", operation="flow_plain"),
        )
    ]
    for _ in range(3):
        submit(system, diamonds)
    all_at_rest(system)
    assert violations(system) == []
    assert system.database.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 1_800
    assert system.database.deadlocks() == 0


def test_a_join_whose_last_settle_died_before_it_asked_is_found_by_the_controller(system: System) -> None:
    once = system.folder / "kill"
    system.api().worker("worker", concurrency=1, JOBPROC_FAILPOINTS=f"settle.after_commit=kill@{once}").controller()
    body = submit(system, [step("a", seconds=0.5), step("b"), step("c", "a", "b")])
    until("a runs", lambda: jobs_of(system, body["workflow_id"])["a"]["status"] == "IN_PROGRESS")
    once.touch()
    until("the process is killed", lambda: not once.exists())
    assert at_rest(system, body["workflow_id"])["status"] == "SUCCEEDED"
    assert violations(system) == []


def disturb(system: System, chance: random.Random, stop: threading.Event, done: list[str]) -> None:
    """Kill a worker with its processes, a backend of one, or a controller, or take the lead away, again and again."""
    for kind in cycle(("worker", "backend", "controller", "leader")):
        if stop.wait(0.7):
            return
        done.append(kind)
        match kind:
            case "worker":
                name = chance.choice(("first", "second"))
                system.kill(name)
                system.worker(name)
            case "backend":
                system.database.rows(
                    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE usename = 'jobproc_test_worker' AND datname = current_database()
                    ORDER BY random() LIMIT 1"""
                )
            case "controller":
                system.kill("controller0")
                system.controller("controller0")
            case _:
                system.database.rows("DELETE FROM leaders")


@pytest.mark.parametrize("controllers", [1, 2])
def test_graphs_of_any_shape_survive_killed_workers_controllers_and_backends(system: System, controllers: int) -> None:
    system.env |= {"JOBPROC_TICK_SECONDS": "0.1"}
    system.api().worker("first").worker("second")
    for number in range(controllers):
        system.controller(f"controller{number}")
    chance, stop, done = random.Random(SEED + controllers), threading.Event(), list[str]()
    operations = ("flow_plain", "flow_plain", "flow_step", "flow_await")
    disturber = threading.Thread(target=disturb, args=(system, chance, stop, done))
    disturber.start()
    try:
        ids = [id_ for _ in range(6) for id_ in submit_graphs(system, chance, 25, operations=operations)]
        for workflow_id in chance.sample(ids, 10):
            system.client.post(f"/workflows/{workflow_id}/cancel").raise_for_status()
        time.sleep(6)
    finally:
        stop.set()
        disturber.join()
    all_at_rest(system)
    assert {"worker", "backend"} <= set(done)
    assert violations(system) == []
    assert system.database.deadlocks() == 0


def test_retries_at_once_run_each_failed_job_once_more(system: System) -> None:
    system.all()
    (system.folder / "stop").touch()
    body = submit(
        system,
        [
            step("root"),
            *(step(f"f{n}", "root", fails_while="stop") for n in range(20)),
            step("end", *(f"f{n}" for n in range(20))),
        ],
    )
    at_rest(system, body["workflow_id"])
    (system.folder / "stop").unlink()
    jobs = jobs_of(system, body["workflow_id"])
    failed = [job["job_id"] for name, job in jobs.items() if name.startswith("f")]
    with ThreadPoolExecutor(8) as pool:
        retries = [pool.submit(system.client.post, f"/workflows/{body['workflow_id']}/retry") for _ in range(4)]
        singles = [pool.submit(system.client.post, f"/jobs/{job_id}/retry") for job_id in failed[:8]]
        assert {retry.result().status_code for retry in retries} <= {200, 409}
        assert {single.result().status_code for single in singles} <= {202, 409}
    all_at_rest(system)
    until("it is at rest", lambda: at_rest(system, body["workflow_id"]))
    if at_rest(system, body["workflow_id"])["status"] != "SUCCEEDED":  # single retries came first
        system.client.post(f"/workflows/{body['workflow_id']}/retry").raise_for_status()
        assert at_rest(system, body["workflow_id"])["status"] == "SUCCEEDED"
    assert {system.job(job_id)["run"] for job_id in failed} == {1}
    assert violations(system) == []
    assert system.database.deadlocks() == 0


def test_a_parent_that_is_retried_while_others_wait_is_waited_for(system: System) -> None:
    system.all()
    (system.folder / "stop").touch()
    body = submit(
        system,
        [step("bad", fails_while="stop"), step("slow", seconds=1.5), step("join", "bad", "slow", policy="run")],
    )
    jobs = jobs_of(system, body["workflow_id"])
    system.wait_status(jobs["bad"]["job_id"], "FAILED")
    (system.folder / "stop").unlink()
    system.client.post(f"/jobs/{jobs['bad']['job_id']}/retry").raise_for_status()
    at_rest(system, body["workflow_id"])
    assert violations(system) == []
    assert {job["status"] for job in jobs_of(system, body["workflow_id"]).values()} == {"SUCCESS"}


def test_jobs_that_are_cancelled_while_they_are_unblocked_end_once(system: System) -> None:
    system.all()
    for _ in range(4):
        body = submit(
            system, [step("root", seconds=0.2), *(step(f"s{n}", "root", operation="flow_plain") for n in range(40))]
        )
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job_id: system.client.post(f"/jobs/{job_id}/cancel"), body["job_ids"][1:]))
        found = at_rest(system, body["workflow_id"])
        assert found["counts"]["succeeded"] + found["counts"]["cancelled"] == 41
    assert violations(system) == []
    assert system.database.deadlocks() == 0


def test_jobs_are_added_while_the_last_other_parent_of_a_join_settles(system: System) -> None:
    system.api().worker("first").worker("second").controller()
    for _ in range(10):
        jobs = [
            job
            for n in range(20)
            for job in (
                {"name": f"s{n}", "operation": "flow_split", "input": {"count": 3, "operation": "flow_plain"}},
                step(f"o{n}", operation="flow_plain"),
                step(f"j{n}", f"s{n}", f"o{n}", operation="flow_plain"),
            )
        ]
        submit(system, jobs)
    all_at_rest(system)
    assert system.database.value("SELECT count(*) FROM jobs") == 10 * 20 * 6
    assert violations(system) == []
    assert system.database.deadlocks() == 0


def test_a_fenced_attempt_adds_no_jobs(system: System) -> None:
    """The process freezes between its operation and its settle, and comes back when another one has run the job."""
    once = system.folder / "stop"
    once.touch()
    system.api().controller()
    system.worker("frozen", concurrency=1, JOBPROC_FAILPOINTS=f"attempt.after_operation=sleep:4@{once}")
    body = submit(
        system,
        [{"name": "s", "operation": "flow_split", "input": {"count": 4, "operation": "flow_plain"}}, step("j", "s")],
    )
    until("it has run", lambda: not once.exists())
    system.database.rows("UPDATE workers SET alive_until = now() - interval '1 s'")
    system.worker("other")
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["jobs"]) == ("SUCCEEDED", 6)
    until("the frozen one has tried", lambda: "fenced" in system.log("frozen") or "lease" in system.log("frozen"))
    time.sleep(1)
    assert len(jobs_of(system, body["workflow_id"])) == 6
    assert violations(system) == []

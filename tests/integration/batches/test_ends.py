"""The end of a batch under races and crashes: its follow-up is stored exactly once, after its last job."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from integration.batches.test_batch_resource import FOLLOW_UP, GOOD, add, batch, close, create, ended, follow_ups
from rig.system import System, until

QUICK_TICK = {"JOBPROC_TICK_SECONDS": "0.05"}


def submitted(system: System, jobs: int = 20) -> str:
    """Submit a batch with a follow-up; return its id."""
    body = {"jobs": [GOOD] * jobs, "follow_up": FOLLOW_UP}
    return str(system.client.post("/jobs/batch", json=body).raise_for_status().json()["batch_id"])


def check_once(system: System, batch_id: str) -> None:
    """Check that the follow-up was stored once, after the last of the batch's jobs had ended."""
    (follow_up,) = follow_ups(system, batch_id)
    first, last = system.database.rows(
        """SELECT (SELECT created_at FROM jobs WHERE id = %s),
                  (SELECT max(o.finished_at) FROM outcomes o
                   JOIN batches b ON o.id > b.id AND o.id <= b.last WHERE b.id = %s)
        """,
        (follow_up, batch_id),
    )[0]
    assert first >= last
    assert batch(system, batch_id)["follow_up"]["job_id"] == follow_up


def test_a_follow_up_is_stored_once_by_two_controllers_that_both_lead(system: System) -> None:
    """Each believes that it leads: the lock of leaders is taken away between their ticks."""
    system.env |= QUICK_TICK
    system.api().worker().controller("first").controller("second")
    stop = threading.Event()

    def depose() -> None:
        while not stop.is_set():
            system.database.rows("DELETE FROM leaders")
            time.sleep(0.01)

    deposer = threading.Thread(target=depose)
    deposer.start()
    try:
        ids = [
            str(system.client.post("/jobs/batch", json={"jobs": [GOOD] * 5, "follow_up": FOLLOW_UP}).json()["batch_id"])
            for _ in range(30)
        ]
        time.sleep(3)
    finally:
        stop.set()
        deposer.join()
    for batch_id in ids:
        ended(system, batch_id)
        check_once(system, batch_id)
    assert system.database.deadlocks() == 0


def test_a_controller_that_is_killed_before_the_commit_of_an_end_leaves_it_to_the_next_one(system: System) -> None:
    once = system.folder / "kill"
    once.touch()
    system.api().worker().controller("first", JOBPROC_FAILPOINTS=f"batch_end.before_commit=kill@{once}")
    batch_id = submitted(system)
    until("the controller is killed", lambda: system.processes["first"].poll() is not None)
    assert follow_ups(system, batch_id) == []
    assert batch(system, batch_id)["status"] == "CLOSED"
    system.controller("second")
    ended(system, batch_id)
    check_once(system, batch_id)
    time.sleep(0.6)
    check_once(system, batch_id)


def test_a_batch_waits_for_the_jobs_of_a_killed_worker(system: System) -> None:
    system.api().controller().worker("first", concurrency=1)
    body = {"jobs": [{"operation": "effect", "data": [3, 0]}, GOOD], "follow_up": FOLLOW_UP}
    batch_id = str(system.client.post("/jobs/batch", json=body).json()["batch_id"])
    until("the long job runs", lambda: len(system.effects()) == 1)
    system.kill("first")
    time.sleep(0.6)
    assert batch(system, batch_id)["status"] == "CLOSED"
    system.worker("second")
    assert ended(system, batch_id)["counts"]["succeeded"] == 2
    check_once(system, batch_id)


def test_counts_are_exact_while_jobs_are_added_run_and_cancelled(system: System) -> None:
    """`batch` checks the sum and that no count is negative; each read is of one snapshot."""
    system.all(**QUICK_TICK)
    batch_id = create(system, follow_up=FOLLOW_UP)
    stop, reads = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            reads.append(batch(system, batch_id))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            added = [
                pool.submit(add, system, batch_id, [GOOD, {"operation": "fail_for_good", "data": [1]}] * 50)
                for _ in range(12)
            ]
            ids = [job_id for future in added for job_id in future.result()]
            later = add(system, batch_id, [GOOD | {"delay_seconds": 1_000}] * 10)
            list(pool.map(lambda job_id: system.client.post(f"/jobs/{job_id}/cancel"), later))
        close(system, batch_id)
        found = ended(system, batch_id)
    finally:
        stop.set()
        reader.join()
    assert len(set(ids)) == 1_200
    assert found["counts"] == {"unfinished": 0, "succeeded": 600, "failed": 600, "cancelled": 10}
    finished = [read["jobs"] - read["counts"]["unfinished"] for read in reads]
    assert finished == sorted(finished), "no job is unfinished again"
    check_once(system, batch_id)


def test_jobs_are_added_before_a_close_or_refused(system: System) -> None:
    """All jobs that were accepted have run when the batch ends."""
    system.all(**QUICK_TICK)
    for _ in range(5):
        batch_id = create(system, follow_up=FOLLOW_UP)

        def try_to_add(_: int, batch_id: str = batch_id) -> Any:
            return system.client.post(f"/batches/{batch_id}/jobs", json=[GOOD] * 3)

        with ThreadPoolExecutor(5) as pool:
            adds = pool.map(try_to_add, range(8))
            closing = pool.submit(close, system, batch_id)
            statuses = [response.status_code for response in adds]
        closing.result()
        assert set(statuses) <= {202, 409}
        found = ended(system, batch_id)
        assert found["jobs"] == found["counts"]["succeeded"] == 3 * statuses.count(202)
        assert len(follow_ups(system, batch_id)) == 1


@pytest.mark.parametrize("verb", ["close", "cancel"])
def test_many_requests_for_one_change_do_it_once(system: System, verb: str) -> None:
    system.all()
    batch_id = create(system, follow_up=FOLLOW_UP)
    add(system, batch_id, [GOOD | {"delay_seconds": 1_000}] if verb == "cancel" else [GOOD])
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: system.client.post(f"/batches/{batch_id}/{verb}"), range(16)))
    assert {response.status_code for response in responses} == {200}
    ended(system, batch_id)
    assert len(follow_ups(system, batch_id)) == 1
    entries = system.database.rows("SELECT action FROM audit_entries")
    assert entries == [(f"batch.{verb}",)]

"""Bulk actions with workers: under concurrency each matching job is changed at most once, and undo restores it."""

import signal
import time

import httpx
import pytest
from integration.api.support.bulk_actions import command, outcomes_by_job, preview, submit_tagged
from rig.system import System, until

CANCELLED_THEN_SUCCESS = [(0, "CANCELLED"), (1, "SUCCESS")]


def test_two_thousand_jobs_are_cancelled_while_workers_claim_them(shared: System) -> None:
    """Each job either succeeds or is cancelled, and the counts agree."""
    tag, ids = submit_tagged(shared, 2_000)
    action = preview(shared, "cancel", tag=tag)
    done = command(shared, action, "start", "DONE")
    until(
        "all have ended",
        lambda: not shared.database.value("SELECT count(*) FROM live WHERE id = ANY (%s::uuid[])", (ids,)),
    )
    outcomes = outcomes_by_job(shared, ids)
    assert {len(runs) for runs in outcomes.values()} == {1}
    counts = {status: sum(runs == [(0, status)] for runs in outcomes.values()) for status in ("SUCCESS", "CANCELLED")}
    assert sum(counts.values()) == 2_000
    assert counts["CANCELLED"] == done["done"]
    assert done["matched"] == done["done"] + sum(done["skipped"].values()) <= action["count"] <= 2_000
    assert done["progress"] == 1.0


def test_an_undone_cancel_lets_jobs_run_and_end_once_more(shared: System) -> None:
    tag, ids = submit_tagged(shared, 50, delay_seconds=3_600)
    before = {job_id: shared.job(job_id) for job_id in ids[:3]}
    action = preview(shared, "cancel", tag=tag, status=["SCHEDULED"])
    assert (action["count"], [job["job_id"] for job in action["sample"]]) == (50, sorted(ids)[:10])
    assert command(shared, action, "start", "DONE")["done"] == 50
    with httpx.Client(base_url=shared.client.base_url, timeout=15) as other_client:
        assert other_client.get(f"/jobs/{ids[0]}/result?wait=5").json()["status"] == "CANCELLED"
    undone = command(shared, action, "undo", "UNDONE")
    assert (undone["undone"], undone["not_undone"]) == (50, {})
    for job_id, old in before.items():
        new = shared.job(job_id)
        assert [(run["run"], run["undo"], run["input"]) for run in new["runs"]] == [(1, True, None)]
        assert [(entry["status"], entry["run"]) for entry in new["timeline"]] == [
            ("SCHEDULED", 0),
            ("CANCELLED", 0),
            ("SCHEDULED", 1),
        ]
        same = set(old) - {"run", "runs", "timeline"}
        assert {name: new[name] for name in same} == {name: old[name] for name in same}
        assert shared.client.get(f"/jobs/{job_id}/explain").status_code == 200
    shared.database.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE id = ANY (%s::uuid[])", (ids,))
    until(
        "all have ended", lambda: all(runs == CANCELLED_THEN_SUCCESS for runs in outcomes_by_job(shared, ids).values())
    )


def test_a_long_poll_is_answered_when_a_bulk_action_cancels_its_job(shared: System) -> None:
    tag, (job_id,) = submit_tagged(shared, 1, delay_seconds=3_600)
    action = preview(shared, "cancel", tag=tag)
    shared.client.post(action["links"]["start"])
    began = time.monotonic()
    assert shared.client.get(f"/jobs/{job_id}/result?wait=10").json()["status"] == "CANCELLED"
    assert time.monotonic() - began < 9


def test_jobs_of_a_bulk_retry_run_once_more(shared: System) -> None:
    tag, ids = submit_tagged(shared, 20, delay_seconds=3_600)
    command(shared, preview(shared, "cancel", tag=tag), "start", "DONE")
    assert command(shared, preview(shared, "retry", tag=tag, status=["CANCELLED"]), "start", "DONE")["done"] == 20
    until(
        "all have run",
        lambda: all(runs == CANCELLED_THEN_SUCCESS for runs in outcomes_by_job(shared, ids).values()),
        10,
    )


def test_a_reprioritised_job_has_the_new_priority_until_undo(shared: System) -> None:
    tag, (job_id, *_) = submit_tagged(shared, 3, delay_seconds=3_600)
    action = preview(shared, "reprioritise", tag=tag, priority=1)
    assert command(shared, action, "start", "DONE")["done"] == 3
    assert shared.job(job_id)["priority"] == 1
    command(shared, action, "undo", "UNDONE")
    assert shared.job(job_id)["priority"] == 5


def test_stop_leaves_the_remaining_jobs_unchanged_and_start_continues(shared: System) -> None:
    tag, ids = submit_tagged(shared, 100, delay_seconds=3_600)
    action = preview(shared, "cancel", tag=tag, rate=20)
    shared.client.post(action["links"]["start"])
    until("the first step is done", lambda: shared.client.get(action["links"]["self"]).json()["done"])
    stopped = command(shared, action, "stop", "STOPPED")
    cancelled = shared.database.value("SELECT count(*) FROM outcomes WHERE id = ANY (%s::uuid[])", (ids,))
    assert 0 < stopped["done"] == cancelled < 100, "after the response no further job is changed"
    assert stopped["progress"] == stopped["done"] / 100
    shared.database.rows("UPDATE bulk_actions SET jobs_per_second = 2000 WHERE id = %s", (action["bulk_action_id"],))
    assert command(shared, action, "start", "DONE")["done"] == 100
    assert [event for event in ("bulk_action_started", "bulk_action_stopped") if not shared.events("api", event)] == []


@pytest.fixture
def crashing_system(system: System) -> System:
    """Start an API, and a controller that is killed in the middle of a step once the file `now` exists."""
    system.api()
    system.controller(
        "first",
        JOBPROC_BULK_ACTION_STEP_JOBS="10",
        JOBPROC_FAILPOINTS=f"bulk_action.before_commit=kill@{system.folder}/now",
    )
    return system


def test_a_bulk_action_is_finished_by_the_next_controller_after_a_crash(crashing_system: System) -> None:
    system = crashing_system
    tag, ids = submit_tagged(system, 150)
    action = preview(system, "cancel", tag=tag, rate=100)
    system.client.post(action["links"]["start"])
    until("the first step is done", lambda: system.client.get(action["links"]["self"]).json()["done"])
    (system.folder / "now").touch()
    assert system.processes["first"].wait(10) == -signal.SIGKILL
    unfinished = system.client.get(action["links"]["self"]).json()
    assert unfinished["phase"] == "RUNNING" and 0 < unfinished["done"] < 150
    assert system.database.value("SELECT count(*) FROM outcomes") == unfinished["done"]
    system.controller("second")
    done = until(
        "the bulk action is done",
        lambda: view if (view := system.client.get(action["links"]["self"]).json())["phase"] == "DONE" else None,
    )
    assert (done["done"], done["skipped"]) == (150, {})
    assert all(runs == [(0, "CANCELLED")] for runs in outcomes_by_job(system, ids).values())

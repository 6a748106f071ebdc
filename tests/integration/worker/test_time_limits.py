"""Attempts that run past their limit are ended, whatever they do."""

import time

import pytest
from rig.system import System, until


@pytest.fixture
def batches(system: System) -> System:
    """A system whose only process takes many jobs in a claim, and that gives none back early or by a lease."""
    system.env.update(JOBPROC_BATCH_MILLISECONDS="10000", JOBPROC_SETTLE_EARLY_SECONDS="60", JOBPROC_LEASE_SECONDS="60", JOBPROC_PROGRESS_SECONDS="0.05")
    return system.worker(concurrency=1).api()


def test_an_attempt_past_its_limit_is_ended_and_tried_again_and_the_rest_of_its_batch_goes_on(batches: System) -> None:
    """The limit is half a second, the attempts are two; its neighbours are released uncharged and run once."""
    system = batches
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))
    before = system.submit_many("effect", [[0.001, n] for n in range(5)])
    system.wait_all()
    first, slow, *rest = system.client.post(
        "/jobs/batch",
        json=[
            {"data": [0.001, 0], "operation": "effect"},
            {"data": [60], "operation": "sleep_limited"},
            *[{"data": [0.001, n], "operation": "effect"} for n in range(10)],
        ],
    ).json()["job_ids"]
    until("it runs", lambda: system.status(slow) == "IN_PROGRESS")
    job = system.wait(slow)
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", 2)
    assert "0.5 s" in job["error"]["text"]
    assert [one["outcome"] for one in job["attempts"]] == ["timeout", "failed"]
    system.wait_all()
    begun = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    for job_id in [*before, first, *rest]:
        job = system.job(job_id)
        assert job["status"] == "SUCCESS"
        assert {one["outcome"] for one in job["attempts"]} <= {"released", "success"}
        assert begun.count(job_id) == 1
    ended = system.events("worker", "process_ended")
    assert [event["reason"] for event in ended] == ["timeout", "timeout"]
    assert {event["job_id"] for event in ended} == {slow}


@pytest.mark.parametrize(("operation", "number", "attempts"), [("hang_in_c", 64, 2), ("ignore_signals", 60, 1)])
def test_an_attempt_that_never_yields_is_ended_at_its_limit(batches: System, operation: str, number: int, attempts: int) -> None:
    """It holds the GIL in C code, or ignores every signal that can be: the limit of one second holds."""
    system = batches
    began = time.monotonic()
    hung = system.submit(operation, number)
    neighbour = system.submit("noop", 1)
    job = system.wait(hung)
    assert time.monotonic() - began < attempts * 1.0 + 10
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", attempts)
    for one in job["attempts"]:
        assert 1.0 <= _seconds(system, hung, one["attempt"]) < 2.5
    assert system.wait(neighbour)["result"] == 1


def _seconds(system: System, job_id: str, attempt: int) -> float:
    return float(
        system.database.one(
            """
            SELECT extract(epoch FROM ended_at - started_at) FROM attempts WHERE id = %(id)s AND attempt = %(attempt)s
            UNION ALL
            SELECT extract(epoch FROM finished_at - started_at) FROM outcomes WHERE id = %(id)s AND attempt = %(attempt)s
            """,
            {"id": job_id, "attempt": attempt},
        )
    )


def test_the_limit_is_that_of_each_job_and_not_of_its_batch(batches: System) -> None:
    """Five times 0.2 s in one claim, 0.5 s each allowed: all within their limits, and left alone."""
    for _ in range(2):
        batches.wait(batches.submit("sleep_limited", 0.001))
    jobs = batches.submit_many("sleep_limited", [[0.2]] * 5)
    batches.wait_all()
    assert {batches.job(job_id)["status"] for job_id in jobs} == {"SUCCESS"}
    assert {batches.job(job_id)["attempt"] for job_id in jobs} == {1}
    assert not batches.events("worker", "process_ended")


def test_time_limits_hold_after_all_leases_of_a_worker_were_lost(system: System) -> None:
    """As after an outage of the database. Both processes hang in C code: nothing but their parent ends them."""
    system.all()
    system.wait(system.submit("noop", 1))  # by one of the two: they are not in step
    hung = system.submit_many("hang_in_c", [[64], [64]])
    until("both run", lambda: system.database.one("SELECT count(DISTINCT worker) FROM live") == 2)
    before = set(system.children())
    system.database.rows("UPDATE workers SET alive_until = '-infinity'")
    until("the hung processes have been ended", lambda: not before & set(system.children()), limit_s=6)
    for job_id in hung:
        assert system.wait(job_id)["error"]["type"] in {"timeout", "worker_lost"}
    assert system.wait(system.submit("noop", 1), limit_s=10)["status"] == "SUCCESS"

"""Attempts that run past their timeout are killed, whatever they do."""

import time

import pytest
from rig.system import System, until


@pytest.fixture
def batches(system: System) -> System:
    """A system whose only process claims many jobs at once and releases none of them early or by a lease."""
    system.env.update(
        JOBPROC_BATCH_TARGET_MILLISECONDS="10000",
        JOBPROC_BATCH_MAX_SECONDS="60",
        JOBPROC_LEASE_SECONDS="60",
        JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.05",
    )
    return system.worker(concurrency=1).api()


def test_an_attempt_past_its_timeout_is_killed_and_retried_and_the_rest_of_its_batch_runs(batches: System) -> None:
    """The timeout is half a second, with two attempts. Other jobs are released uncharged and run once."""
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
    until("the slow job runs", lambda: system.status(slow) == "IN_PROGRESS")
    job = system.wait(slow)
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", 2)
    assert "0.5 s" in job["error"]["text"]
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["timeout", "failed"]
    system.wait_all()
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    for job_id in [*before, first, *rest]:
        job = system.job(job_id)
        assert job["status"] == "SUCCESS"
        assert {attempt["outcome"] for attempt in job["attempts"]} <= {"released", "success"}
        assert started.count(job_id) == 1
    kills = system.events("worker", "process_killed")
    assert [event["reason"] for event in kills] == ["timeout", "timeout"]
    assert {event["job_id"] for event in kills} == {slow}


@pytest.mark.parametrize(("operation", "number", "attempts"), [("hang_in_c", 64, 2), ("ignore_signals", 60, 1)])
def test_an_attempt_that_never_yields_is_killed_at_its_timeout(
    batches: System, operation: str, number: int, attempts: int
) -> None:
    """The operation holds the GIL in C code or ignores every signal that it can; the timeout is one second."""
    system = batches
    began = time.monotonic()
    hung = system.submit(operation, number)
    neighbour = system.submit("noop", 1)
    job = system.wait(hung)
    assert time.monotonic() - began < attempts * 1.0 + 10
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", attempts)
    for attempt in job["attempts"]:
        assert 1.0 <= _seconds(system, hung, attempt["attempt"]) < 2.5
    assert system.wait(neighbour)["result"] == 1


def _seconds(system: System, job_id: str, attempt: int) -> float:
    """Return the duration of an attempt."""
    return float(
        system.database.value(
            """
            SELECT extract(epoch FROM finished_at - started_at) FROM attempts
            WHERE id = %(id)s AND attempt = %(attempt)s
            UNION ALL
            SELECT extract(epoch FROM finished_at - started_at) FROM outcomes
            WHERE id = %(id)s AND attempt = %(attempt)s
            """,
            {"id": job_id, "attempt": attempt},
        )
    )


def test_the_timeout_applies_to_each_job_and_not_to_its_batch(batches: System) -> None:
    """One claim takes five jobs of 0.2 s with a timeout of 0.5 s each: none is killed."""
    for _ in range(2):
        batches.wait(batches.submit("sleep_limited", 0.001))
    jobs = batches.submit_many("sleep_limited", [[0.2]] * 5)
    batches.wait_all()
    assert {batches.job(job_id)["status"] for job_id in jobs} == {"SUCCESS"}
    assert {batches.job(job_id)["attempt"] for job_id in jobs} == {1}
    assert not batches.events("worker", "process_killed")


def test_timeouts_hold_after_all_leases_of_a_worker_were_lost(system: System) -> None:
    """A database outage loses leases so. Both processes hang in C code: only their parent can end them."""
    system.all()
    system.wait(system.submit("noop", 1))  # one of the two processes runs it, so that they are not in step
    hung = system.submit_many("hang_in_c", [[64], [64]])
    until("both jobs run", lambda: system.database.value("SELECT count(DISTINCT worker) FROM live") == 2)
    before = set(system.children())
    system.database.rows("UPDATE workers SET alive_until = '-infinity'")
    until("the hung processes are killed", lambda: not before & set(system.children()), limit_s=6)
    for job_id in hung:
        assert system.wait(job_id)["error"]["type"] in {"timeout", "worker_lost"}
    assert system.wait(system.submit("noop", 1), limit_s=10)["status"] == "SUCCESS"

"""Jobs of `async def` operations: many run at a time in a process; all else is as for other jobs."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from rig.system import System, until

ERROR, LATER, PERMANENT, EXIT = range(4)


def max_concurrency(effects: Sequence[dict[str, Any]]) -> int:
    """Return the maximum number of jobs that one process ran at a time, from the lines that they wrote."""
    maximum, running = 0, dict[int, int]()
    for line in sorted(effects, key=lambda line: float(line["at"])):
        running[line["pid"]] = running.get(line["pid"], 0) + (1 if line["phase"] == "begin" else -1)
        maximum = max(maximum, running[line["pid"]])
    return maximum


def test_a_hundred_jobs_that_wait_half_a_second_each_take_about_a_second(shared: System) -> None:
    """Run one by one, two processes need 25 s. No process runs more than a hundred jobs, and no job runs twice."""
    began = time.monotonic()
    jobs = shared.submit_many("await_effect", [[0.5, n] for n in range(100)])
    shared.wait_all()
    assert time.monotonic() - began < 8
    effects = [line for line in shared.effects() if line["job"] in set(jobs)]
    assert 40 <= max_concurrency(effects) <= 100
    assert len(effects) == 200
    rows = shared.database.rows(
        """
        SELECT result::text::float8, attempt, execution_s BETWEEN 0.4 AND 8, cpu_s, peak_mib
        FROM outcomes WHERE id = ANY(%s::uuid[])
        """,
        (jobs,),
    )
    assert sorted(row[0] for row in rows) == list(range(100))
    # CPU time and memory of a process cannot be attributed to single jobs.
    assert {row[1:] for row in rows} == {(1, True, None, None)}


@pytest.mark.parametrize(
    ("error_kind", "end", "outcomes"),
    [
        (ERROR, ("SUCCESS", None), ["error", "error", "success"]),
        (LATER, ("SUCCESS", None), ["error", "error", "success"]),
        (PERMANENT, ("FAILED", "ZeroDivisionError"), ["failed"]),
        (EXIT, ("SUCCESS", None), ["error", "error", "success"]),
    ],
    ids=["an error", "retry later", "permanent", "exit of the process"],
)
def test_an_exception_of_an_async_job_is_handled_as_that_of_any_other_job(
    shared: System, error_kind: int, end: tuple[str, str | None], outcomes: list[str]
) -> None:
    job = shared.wait(shared.submit("await_stumble", 2, error_kind))
    assert (job["status"], (job["error"] or {}).get("type")) == end
    assert [attempt["outcome"] for attempt in job["attempts"]] == outcomes
    assert all(attempt["took"]["execution_seconds"] is not None for attempt in job["attempts"])


def test_a_result_over_the_limit_fails_the_job_with_a_code(shared: System) -> None:
    fits, too_large = shared.submit("await_much", 1_998), shared.submit("await_much", 1_999)
    assert shared.wait(fits)["result"] == "x" * 1_998
    assert shared.wait(too_large)["error"]["type"] == "result_too_large"


def test_each_job_has_its_own_progress_and_is_cancelled_alone(shared: System) -> None:
    before = shared.children()
    first, other = shared.submit_many("await_told", [[0.25, 30], [0.75, 30]])
    until(
        "both jobs show their progress",
        lambda: [((shared.job(job_id)["progress"] or {}).get("fraction")) for job_id in (first, other)] == [0.25, 0.75],
    )
    third = shared.submit("await_effect", 0.01, 5)
    assert shared.wait(third)["result"] == 5
    assert shared.client.post(f"/jobs/{first}/cancel").status_code == 202
    job = shared.wait(first, limit_s=10)
    assert (job["status"], job["result"], job["error"]) == ("CANCELLED", None, None)
    assert shared.status(other) == "IN_PROGRESS"
    shared.client.post(f"/jobs/{other}/cancel")
    assert shared.wait(other, limit_s=10)["status"] == "CANCELLED"
    assert shared.children() == before


def test_a_job_past_its_timeout_is_cancelled_and_its_process_continues(shared: System) -> None:
    before, other = shared.children(), shared.submit("await_effect", 1.2, 5)
    job = shared.wait(shared.submit("await_limited", 60, 0))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", 2)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["timeout", "failed"]
    assert [line["phase"] for line in shared.effects() if line["job"] == job["job_id"]] == ["begin", "cancelled"] * 2
    assert shared.wait(other)["attempt"] == 1
    assert shared.children() == before


def test_a_unique_key_held_while_running_delays_the_next_job(shared: System) -> None:
    """Each job also gets its input, which was too large to be claimed with a batch."""
    unique = {"key": "together", "while": "running", "on_conflict": "reject"}
    jobs = []
    for number in range(3):
        response = shared.client.post(
            "/jobs/", json={"operation": "await_effect", "data": [0.1, *[0.5] * 9_000, number], "unique": unique}
        )
        jobs.append(response.json()["job_id"])
    assert [shared.wait(job_id)["result"] for job_id in jobs] == [0, 1, 2]
    assert max_concurrency([line for line in shared.effects() if line["job"] in jobs]) == 1

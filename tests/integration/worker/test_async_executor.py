"""Jobs of `async def` operations: many at a time in one process, in everything else as all others."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from rig.system import System, until

ERROR, LATER, FOR_GOOD, EXIT = range(4)


def most_at_a_time(effects: Sequence[dict[str, Any]]) -> int:
    """Return how many were between their two lines in one process at most."""
    most, inside = 0, dict[int, int]()
    for line in sorted(effects, key=lambda line: float(line["at"])):
        inside[line["pid"]] = inside.get(line["pid"], 0) + (1 if line["phase"] == "begin" else -1)
        most = max(most, inside[line["pid"]])
    return most


def test_a_hundred_that_wait_for_half_a_second_each_take_about_one(shared: System) -> None:
    """One process after the other would take 25 s with these two. No process takes more than a hundred, and none of the jobs twice."""
    began = time.monotonic()
    jobs = shared.submit_many("await_effect", [[0.5, n] for n in range(100)])
    shared.wait_all()
    assert time.monotonic() - began < 8
    effects = [line for line in shared.effects() if line["job"] in set(jobs)]
    assert 40 <= most_at_a_time(effects) <= 100
    assert len(effects) == 200
    found = shared.database.rows(
        "SELECT result::text::float8, attempt, run_s BETWEEN 0.4 AND 8, cpu_s, peak_mib FROM outcomes WHERE id = ANY(%s::uuid[])", (jobs,)
    )
    assert sorted(row[0] for row in found) == list(range(100))
    assert {row[1:] for row in found} == {(1, True, None, None)}  # of the CPU and the memory nobody can say whose they were


@pytest.mark.parametrize(
    ("how", "ended", "attempts"),
    [
        (ERROR, ("SUCCESS", None), ["error", "error", "success"]),
        (LATER, ("SUCCESS", None), ["error", "error", "success"]),
        (FOR_GOOD, ("FAILED", "ZeroDivisionError"), ["failed"]),
        (EXIT, ("SUCCESS", None), ["error", "error", "success"]),
    ],
    ids=["an error", "try again later", "for good", "the end of the process"],
)
def test_what_one_raises_is_decided_on_as_of_any_other(shared: System, how: int, ended: tuple[str, str | None], attempts: list[str]) -> None:
    job = shared.wait(shared.submit("await_stumble", 2, how))
    assert (job["status"], (job["error"] or {}).get("type")) == ended
    assert [one["outcome"] for one in job["attempts"]] == attempts
    assert all(one["took"]["run_seconds"] is not None for one in job["attempts"])


def test_a_result_over_the_limit_fails_the_job_with_a_code(shared: System) -> None:
    fits, too_large = shared.submit("await_much", 1_998), shared.submit("await_much", 1_999)
    assert shared.wait(fits)["result"] == "x" * 1_998
    assert shared.wait(too_large)["error"]["type"] == "result_too_large"


def test_each_has_its_own_progress_and_is_cancelled_for_itself(shared: System) -> None:
    before = shared.children()
    first, other = shared.submit_many("await_told", [[0.25, 30], [0.75, 30]])
    until("both show how far they are", lambda: [((shared.job(one)["progress"] or {}).get("fraction")) for one in (first, other)] == [0.25, 0.75])
    beside = shared.submit("await_effect", 0.01, 5)
    assert shared.wait(beside)["result"] == 5
    assert shared.client.post(f"/jobs/{first}/cancel").status_code == 202
    job = shared.wait(first, limit_s=10)
    assert (job["status"], job["result"], job["error"]) == ("CANCELLED", None, None)
    assert shared.status(other) == "IN_PROGRESS"
    shared.client.post(f"/jobs/{other}/cancel")
    assert shared.wait(other, limit_s=10)["status"] == "CANCELLED"
    assert shared.children() == before


def test_one_past_its_limit_is_cancelled_and_its_process_goes_on(shared: System) -> None:
    before, beside = shared.children(), shared.submit("await_effect", 1.2, 5)
    job = shared.wait(shared.submit("await_limited", 60, 0))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "timeout", 2)
    assert [one["outcome"] for one in job["attempts"]] == ["timeout", "failed"]
    assert [line["phase"] for line in shared.effects() if line["job"] == job["job_id"]] == ["begin", "cancelled"] * 2
    assert shared.wait(beside)["attempt"] == 1
    assert shared.children() == before


def test_a_key_that_one_holds_while_it_runs_keeps_the_next_one_waiting(shared: System) -> None:
    """And each comes with the input that was too great to come with its batch."""
    unique = {"key": "together", "while": "running", "on_conflict": "reject"}
    jobs = []
    for number in range(3):
        answer = shared.client.post("/jobs/", json={"operation": "await_effect", "data": [0.1, *[0.5] * 9_000, number], "unique": unique})
        jobs.append(answer.json()["job_id"])
    assert [shared.wait(one)["result"] for one in jobs] == [0, 1, 2]
    assert most_at_a_time([line for line in shared.effects() if line["job"] in jobs]) == 1

"""A claim that PostgreSQL refuses, such as for a missing right, is not repeated at once."""

import time
from collections.abc import Callable

import pytest
from rig.system import System, until

MOST_REFUSALS = 30  # a second and process, with ticks of 0.2 s; 1,000 before


def _take_a_right(system: System, _job: str) -> None:
    system.database.rows("REVOKE UPDATE ON live FROM jobproc_test_worker")


def _give_it_back(system: System, _job: str) -> None:
    system.database.rows("GRANT UPDATE ON live TO jobproc_test_worker")


def _exhaust_attempts(system: System, job: str) -> None:
    """Set the number of attempts to the last one of its column, as if the job had been released so often."""
    system.database.rows("UPDATE live SET attempt = 32767, released = 32767 WHERE id = %s", (job,))


def _cancel(system: System, job: str) -> None:
    assert system.client.post(f"/jobs/{job}/cancel").json()["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("damage", "repair", "status"),
    [(_take_a_right, _give_it_back, "SUCCESS"), (_exhaust_attempts, _cancel, "CANCELLED")],
    ids=["the role lacks a right", "a number of attempts would overflow"],
)
def test_a_refused_claim_is_logged_and_tried_again_at_the_pace_of_the_ticks(
    system: System, damage: Callable[[System, str], None], repair: Callable[[System, str], None], status: str
) -> None:
    system.api()
    job = system.submit("square_sum", 3)
    damage(system, job)
    began = time.monotonic()
    system.worker(concurrency=1).controller()
    until("several claims were refused", lambda: len(system.events("worker", "claim_failed")) > 3)
    seconds = time.monotonic() - began
    refusal = system.events("worker", "claim_failed")[0]
    assert refusal["queue"] == "default"
    assert refusal["reason"]
    assert len(system.events("worker", "claim_failed")) < MOST_REFUSALS * (1 + seconds)
    repair(system, job)
    assert system.wait(job)["status"] == status
    later = system.submit("square_sum", 4)
    assert system.wait(later)["result"] == 16


def test_a_worker_whose_claims_are_refused_still_ends_on_sigterm(system: System) -> None:
    system.api().worker(concurrency=1)
    _take_a_right(system, "")
    system.submit("square_sum", 3)
    until("a claim was refused", lambda: system.events("worker", "claim_failed"))
    assert system.end("worker", limit_s=8) == 0

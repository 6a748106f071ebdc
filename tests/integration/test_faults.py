"""The ten most valuable faults, each injected once under load; then all laws are checked. `make faults` injects all."""

import os
import random
from pathlib import Path

import pytest
from faults.fault import FAULTS
from faults.run import Run

TEN = (
    "worker_process_killed",
    "worker_frozen_past_its_lease",
    "redis_killed",
    "redis_reset",
    "postgres_restarted",
    "answers_lost",
    "api_killed_after_a_commit",
    "doorbells_duplicated",
    "leader_frozen",
    "connections_terminated",
)
#: Laws on what may not have happened in this time, or not apart from the faults.
RARE = {
    "a_unique_key_is_held_by_one",
    "jobs_of_a_running_key_take_turns",
    "a_bulk_action_is_complete",
    "a_manual_retry_is_one_more_run",
    "an_ended_key_is_refused",
    "a_flood_delays_nobody_else",
}
TRIES = 4  # injections of a fault that missed its window
SLACK_S = 8.0  # added to limits of the laws, because other tests run concurrently


@pytest.mark.timeout(240)
def test_no_law_is_broken_by_any_of_ten_faults(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder: Path = tmp_path_factory.mktemp("faults")
    seed = int(os.environ.get("JOBPROC_FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    run = Run(folder, seed, clients=2)
    try:
        report = run.each_once([FAULTS[name] for name in TEN], TRIES, SLACK_S)
    finally:
        run.close()
    assert set(report.broken) <= RARE, report.text()
    assert not any(report.verdicts[law].violations for law in RARE), report.text()
    assert set(TEN) == set(report.happened), f"a fault never happened, so the run proves nothing: {report.text()}"

"""What a worker counts in the memory that it shares with its processes."""

import os
from typing import Any

import pytest

from common.domain.decisions import CANCELLED, RELEASED, WORKER_LOST, Fail, Release, Retry
from common.domain.job import ClaimedJob
from common.domain.operation_spec import OperationSpec
from common.telemetry import metrics
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics, outcome_label

SPECS = (OperationSpec("add"), OperationSpec("mail", queue="mails"))
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def meters() -> WorkerMetrics:
    return WorkerMetrics(Layout(SPECS, ["default"]), 3)


def samples(meters: WorkerMetrics) -> dict[tuple[str, ...], float]:
    """Return all values by name and labels."""
    found: dict[tuple[str, ...], float] = {}
    for family in meters.collect():
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def job(operation: str = "add", waited_s: float = 0.0) -> ClaimedJob:
    return ClaimedJob("some-id", 1, 0, 3, operation, "{}", None, None, waited_s)


def test_what_several_places_count_is_one_series(meters: WorkerMetrics) -> None:
    for of_slot in (*meters.by_slot, meters.parent):
        of_slot.count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.002)
    meters.by_slot[1].count_attempt("add", "default", OutcomeLabel.RETRIED, 2.0)
    found = samples(meters)
    assert found["jobproc_attempts_total", "add", "default", "success"] == 4
    assert found["jobproc_attempts_total", "add", "default", "retried"] == 1
    assert found["jobproc_attempts_total", "add", "default", "failed"] == 0, "shown from the start, so that its first is a rise"
    assert found["jobproc_attempt_duration_seconds_count", "add"] == 5
    assert found["jobproc_attempt_duration_seconds_sum", "add"] == pytest.approx(2.008)


def test_buckets_add_up_and_a_bound_belongs_to_its_bucket(meters: WorkerMetrics) -> None:
    waited = [0.0, 0.005, 0.0051, 30.0, 10_000.0]
    meters.by_slot[0].count_claim("default", [job(waited_s=seconds) for seconds in waited])
    found = samples(meters)
    bounds = [*(repr(float(bound)) for bound in metrics.START_DELAY.buckets), "+Inf"]
    counts = [found["jobproc_start_delay_seconds_bucket", "default", bound] for bound in bounds]
    assert counts == sorted(counts)
    assert (counts[0], counts[1], found["jobproc_start_delay_seconds_bucket", "default", "30.0"], counts[-1]) == (2, 3, 4, 5)
    assert found["jobproc_start_delay_seconds_sum", "default"] == pytest.approx(sum(waited))
    assert found["jobproc_claim_jobs_bucket", "default", "5.0"] == 1
    assert found["jobproc_claim_jobs_sum", "default"] == 5


def test_a_claim_in_vain_is_no_claim_of_no_jobs(meters: WorkerMetrics) -> None:
    meters.by_slot[0].count_claim("default", [])
    found = samples(meters)
    assert found["jobproc_claims_empty_total", "default"] == 1
    assert found["jobproc_claim_jobs_count", "default"] == 0


def test_an_operation_that_is_not_installed_is_other(meters: WorkerMetrics) -> None:
    meters.by_slot[0].count_attempt("of/another version", "default", OutcomeLabel.FAILED, 0.1)
    found = samples(meters)
    assert found["jobproc_attempts_total", "other", "default", "failed"] == 1
    assert not [of for of in found if "of/another version" in of]


def test_pairs_of_an_operation_and_a_queue_that_are_not_its_own_are_shown_once_they_happen(meters: WorkerMetrics) -> None:
    assert not [of for of in samples(meters) if "mail" in of]
    meters.by_slot[0].count_attempt("mail", "default", OutcomeLabel.SUCCESS, 0.1)
    assert samples(meters)["jobproc_attempts_total", "mail", "default", "success"] == 1


def test_counts_outlive_the_process_that_counted(meters: WorkerMetrics) -> None:
    for _ in range(2):  # the second one goes on in the same place
        child = os.fork()
        if child == 0:
            meters.by_slot[0].count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.5)
            os._exit(0)
        os.waitpid(child, 0)
    assert samples(meters)["jobproc_attempts_total", "add", "default", "success"] == 2


def test_the_rest_is_counted_too(meters: WorkerMetrics) -> None:
    meters.by_slot[2].count_fenced(3)
    meters.parent.count_lease_lost()
    meters.parent.count_death("timeout")
    found = samples(meters)
    assert found["jobproc_results_refused_total",] == 3
    assert found["jobproc_leases_lost_total",] == 1
    assert found["jobproc_worker_processes_died_total", "timeout"] == 1
    assert found["jobproc_worker_processes_died_total", "worker_lost"] == 0


@pytest.mark.parametrize(
    ("decision", "how"),
    [
        (Fail(WORKER_LOST), OutcomeLabel.FAILED),
        (Retry(WORKER_LOST, 1.0), OutcomeLabel.RETRIED),
        (Release(RELEASED), OutcomeLabel.RELEASED),
        (Fail(CANCELLED), OutcomeLabel.CANCELLED),
    ],
)
def test_each_decision_is_an_outcome(decision: Any, how: OutcomeLabel) -> None:
    assert outcome_label(decision) is how


def test_every_metric_of_a_worker_is_declared_for_it(meters: WorkerMetrics) -> None:
    declared = {one.name.removesuffix("_total") for one in metrics.ALL if metrics.Component.WORKER in one.components}
    assert {family.name for family in meters.collect()} <= declared

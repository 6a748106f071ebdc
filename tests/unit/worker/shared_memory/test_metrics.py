"""Metrics of a worker, in the memory that the parent shares with its processes."""

import os
from typing import Any

import pytest

from common.domain.decisions import CANCELLED, RELEASED, WORKER_LOST, Fail, Release, Retry
from common.domain.job import ClaimedJob
from common.domain.operation_spec import OperationSpec
from common.telemetry import metrics
from common.telemetry.metric_families import Component
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics, outcome_label

SPECS = (OperationSpec("add"), OperationSpec("mail", queue="mails"))
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def worker_metrics() -> WorkerMetrics:
    return WorkerMetrics(Layout(SPECS, ["default"]), 3)


def samples(worker_metrics: WorkerMetrics) -> dict[tuple[str, ...], float]:
    """Return all values by name and labels."""
    values: dict[tuple[str, ...], float] = {}
    for family in worker_metrics.collect():
        for sample in family.samples:
            values[sample.name, *sample.labels.values()] = sample.value
    return values


def job(operation: str = "add", waited_s: float = 0.0) -> ClaimedJob:
    return ClaimedJob("some-id", 1, 0, 3, operation, "{}", None, None, waited_s)


def test_the_counts_of_all_slots_are_summed_in_one_series(worker_metrics: WorkerMetrics) -> None:
    for slot_metrics in (*worker_metrics.by_slot, worker_metrics.parent):
        slot_metrics.count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.002)
    worker_metrics.by_slot[1].count_attempt("add", "default", OutcomeLabel.RETRIED, 2.0)
    values = samples(worker_metrics)
    assert values["jobproc_attempts_total", "add", "default", "success"] == 4
    assert values["jobproc_attempts_total", "add", "default", "retried"] == 1
    assert values["jobproc_attempts_total", "add", "default", "failed"] == 0, (
        "shown from the start, so that the first failure is an increase"
    )
    assert values["jobproc_attempt_duration_seconds_count", "add"] == 5
    assert values["jobproc_attempt_duration_seconds_sum", "add"] == pytest.approx(2.008)


def test_buckets_add_up_and_a_bound_belongs_to_its_bucket(worker_metrics: WorkerMetrics) -> None:
    waited = [0.0, 0.005, 0.0051, 30.0, 10_000.0]
    worker_metrics.by_slot[0].count_claim("default", [job(waited_s=seconds) for seconds in waited])
    values = samples(worker_metrics)
    bounds = [*(repr(float(bound)) for bound in metrics.START_DELAY.buckets), "+Inf"]
    counts = [values["jobproc_start_delay_seconds_bucket", "default", bound] for bound in bounds]
    assert counts == sorted(counts)
    assert (counts[0], counts[1], values["jobproc_start_delay_seconds_bucket", "default", "30.0"], counts[-1]) == (
        2,
        3,
        4,
        5,
    )
    assert values["jobproc_start_delay_seconds_sum", "default"] == pytest.approx(sum(waited))
    assert values["jobproc_claim_jobs_bucket", "default", "5.0"] == 1
    assert values["jobproc_claim_jobs_sum", "default"] == 5


def test_an_empty_claim_is_not_counted_as_a_claim_of_no_jobs(worker_metrics: WorkerMetrics) -> None:
    worker_metrics.by_slot[0].count_claim("default", [])
    values = samples(worker_metrics)
    assert values["jobproc_empty_claims_total", "default"] == 1
    assert values["jobproc_claim_jobs_count", "default"] == 0


def test_an_operation_that_is_not_installed_is_counted_as_other(worker_metrics: WorkerMetrics) -> None:
    worker_metrics.by_slot[0].count_attempt("of/another version", "default", OutcomeLabel.FAILED, 0.1)
    values = samples(worker_metrics)
    assert values["jobproc_attempts_total", "other", "default", "failed"] == 1
    assert not [labels for labels in values if "of/another version" in labels]


def test_a_series_of_an_operation_in_a_foreign_queue_is_shown_once_it_has_a_count(
    worker_metrics: WorkerMetrics,
) -> None:
    assert not [labels for labels in samples(worker_metrics) if "mail" in labels]
    worker_metrics.by_slot[0].count_attempt("mail", "default", OutcomeLabel.SUCCESS, 0.1)
    assert samples(worker_metrics)["jobproc_attempts_total", "mail", "default", "success"] == 1


def test_counts_outlive_the_process_that_counted(worker_metrics: WorkerMetrics) -> None:
    for _ in range(2):  # the second process counts in the same slot
        child = os.fork()
        if child == 0:
            worker_metrics.by_slot[0].count_attempt("add", "default", OutcomeLabel.SUCCESS, 0.5)
            os._exit(0)
        os.waitpid(child, 0)
    assert samples(worker_metrics)["jobproc_attempts_total", "add", "default", "success"] == 2


def test_fenced_results_lost_leases_and_deaths_of_processes_are_counted(worker_metrics: WorkerMetrics) -> None:
    worker_metrics.by_slot[2].count_fenced(3)
    worker_metrics.parent.count_lease_lost()
    worker_metrics.parent.count_process_death("timeout")
    values = samples(worker_metrics)
    assert values["jobproc_results_fenced_total",] == 3
    assert values["jobproc_leases_lost_total",] == 1
    assert values["jobproc_worker_processes_died_total", "timeout"] == 1
    assert values["jobproc_worker_processes_died_total", "worker_lost"] == 0


@pytest.mark.parametrize(
    ("decision", "label"),
    [
        (Fail(WORKER_LOST), OutcomeLabel.FAILED),
        (Retry(WORKER_LOST, 1.0), OutcomeLabel.RETRIED),
        (Release(RELEASED), OutcomeLabel.RELEASED),
        (Fail(CANCELLED), OutcomeLabel.CANCELLED),
    ],
)
def test_each_decision_has_an_outcome_label(decision: Any, label: OutcomeLabel) -> None:
    assert outcome_label(decision) is label


def test_every_metric_of_a_worker_is_declared_for_it(worker_metrics: WorkerMetrics) -> None:
    declared = {metric.name.removesuffix("_total") for metric in metrics.ALL if Component.WORKER in metric.components}
    assert {family.name for family in worker_metrics.collect()} <= declared

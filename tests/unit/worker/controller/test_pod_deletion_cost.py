"""The deletion costs of pods: which pod is removed first, how seldom the annotation is written, and of which pods."""

from collections.abc import Callable, Iterator

import pytest
from rig.settings import settings_from

from common.store.workers.leases import BusyHost
from worker.controller.pod_deletion_cost import (
    BUSY_COST,
    LONG_JOB_S,
    MAX_COST,
    MAX_WRITES,
    RECHECK_INTERVAL_S,
    Costs,
    DeletionCosts,
    changed_costs,
    deletion_cost,
)

NOW = 1_800_000_000.0


class RecordedPods:
    """An API server with the pods a and b, which records the requests that it gets."""

    def __init__(self) -> None:
        self.annotated: dict[str, int | None] = {"a": None, "b": None}
        self.lists = 0
        self.written: list[tuple[str, int | None]] = []
        self.unavailable = False

    def costs(self) -> Costs:
        if self.unavailable:
            raise OSError("unavailable")
        self.lists += 1
        return dict(self.annotated)

    def write(self, costs: Costs) -> Iterator[str]:
        for pod, cost in costs.items():
            self.annotated[pod] = cost
            self.written.append((pod, cost))
            yield pod


def running_for(seconds: float, second: float = 0) -> BusyHost:
    """Return a host whose longest job has run for so long at a second of the test."""
    return BusyHost(NOW + second - seconds, seconds)


@pytest.fixture
def pods() -> RecordedPods:
    return RecordedPods()


@pytest.fixture
def update(pods: RecordedPods) -> Callable[[float, dict[str, float]], list[tuple[str, int | None]]]:
    """Report, at a second, for how long the longest job of each busy pod has run; returns all writes so far."""
    settings = settings_from(
        "postgresql://127.0.0.1/x", "redis://127.0.0.1/0", JOBPROC_POD_DELETION_COST_SELECTOR="app=worker"
    )
    now = [0.0]
    costs = DeletionCosts(settings, pods, clock=lambda: now[0])

    def report(second: float, busy: dict[str, float]) -> list[tuple[str, int | None]]:
        now[0] = second
        costs.update({pod: running_for(seconds, second) for pod, seconds in busy.items()})
        costs.wait(5)
        return pods.written

    return report


Update = Callable[[float, dict[str, float]], list[tuple[str, int | None]]]


def test_idle_pods_are_removed_first_then_those_with_short_jobs_and_the_longest_job_last() -> None:
    older, newer = deletion_cost(running_for(600)), deletion_cost(running_for(599))
    assert deletion_cost(None) is None
    assert older is not None
    assert newer is not None
    assert 0 < BUSY_COST < newer < older < MAX_COST


@pytest.mark.parametrize("seconds", [-50 * 365 * 86_400, LONG_JOB_S, 100 * 365 * 86_400])
def test_every_cost_fits_the_annotation(seconds: float) -> None:
    assert BUSY_COST <= int(deletion_cost(running_for(seconds)) or 0) < 2**31


def test_a_long_job_is_written_once_and_its_pods_are_seldom_listed(update: Update, pods: RecordedPods) -> None:
    for second in range(500):
        written = update(second, {"a": second + 0.3 * (second % 2)})
    assert written == [("a", BUSY_COST), ("a", deletion_cost(running_for(LONG_JOB_S, LONG_JOB_S)))]
    assert pods.lists <= 500 / RECHECK_INTERVAL_S + LONG_JOB_S


def test_the_pods_are_not_listed_while_no_cost_changes(update: Update, pods: RecordedPods) -> None:
    for second in range(300):
        update(second, {})
    assert pods.lists == 300 / RECHECK_INTERVAL_S


def test_short_jobs_one_after_the_other_are_written_once(update: Update) -> None:
    for second in range(100):
        written = update(second, {"a": second % 3})
    assert written == [("a", BUSY_COST)]


def test_the_annotation_is_removed_when_the_pod_is_idle(update: Update) -> None:
    update(0, {"a": 0})
    assert update(1, {}) == [("a", BUSY_COST)], "not at once: jobs that come and go are one write in ten seconds"
    assert update(LONG_JOB_S, {}) == [("a", BUSY_COST), ("a", None)]


def test_a_cost_that_could_not_be_written_is_written_later(update: Update, pods: RecordedPods) -> None:
    pods.unavailable = True
    update(0, {"a": 0})
    pods.unavailable = False
    assert update(LONG_JOB_S - 1, {"a": 0}) == [], "not with each round"
    assert update(LONG_JOB_S, {"a": 0}) == [("a", BUSY_COST)]


def test_a_new_controller_corrects_the_costs_that_an_earlier_one_has_left(update: Update, pods: RecordedPods) -> None:
    pods.annotated = {"a": 1_900_000_000, "b": BUSY_COST}
    assert update(0, {"b": 1}) == [("a", None)]


def test_only_pods_of_the_selector_are_written_whatever_a_worker_has_published(update: Update) -> None:
    assert update(0, {"../secrets/x": 60, "jobproc-api-0": 60, "b": 60}) == [("b", deletion_cost(running_for(60)))]


def test_a_cost_that_differs_by_the_rounding_of_a_second_is_not_written() -> None:
    assert changed_costs({"a": 1_500, "b": 1_500, "c": None}, {"a": 1_501, "b": 1_502}) == {"b": 1_502}


def test_the_writes_of_a_round_are_bounded_and_the_rest_follows(update: Update, pods: RecordedPods) -> None:
    pods.annotated = {f"pod-{number}": None for number in range(MAX_WRITES + 50)}
    assert len(update(0, dict.fromkeys(pods.annotated, 1.0))) == MAX_WRITES
    assert len(update(2, dict.fromkeys(pods.annotated, 3.0))) == MAX_WRITES + 50

"""The deletion cost of a pod: which pod is removed first, and how seldom the annotation is written."""

import os
from collections.abc import Callable

import pytest

from common.settings import Settings
from worker.supervision.pod_deletion_cost import BUSY_COST, LONG_JOB_S, MAX_COST, DeletionCost, deletion_cost

NOW = 1_800_000_000.0


class Pods:
    """An API server that records the written costs."""

    def __init__(self) -> None:
        self.written: list[int | None] = []
        self.unavailable = False

    def write(self, cost: int | None) -> None:
        if self.unavailable:
            raise OSError("unavailable")
        self.written.append(cost)


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def update(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float | None], list[int | None]]:
    """Report, at a second, for how long the longest job has run; returns all costs written so far."""
    for name, value in {
        "DATABASE_URL": "postgresql://127.0.0.1/x",
        "REDIS_URL": "redis://127.0.0.1/0",
        "JOBPROC_POD_DELETION_COST": "true",
        "JOBPROC_POD_NAME": "pod-1",
        "JOBPROC_POD_NAMESPACE": "jobs",
    }.items():
        monkeypatch.setenv(name, value)
    now = [NOW]
    writer = DeletionCost(Settings.from_env(os.environ), clock=lambda: now[0], write=pods.write)

    def report(second: float, longest_s: float | None) -> list[int | None]:
        now[0] = NOW + second
        writer.update(longest_s)
        if writer._writer is not None:
            writer._writer.join(5)
        return pods.written

    return report


def test_idle_pods_are_removed_first_then_those_with_short_jobs_and_the_longest_job_last() -> None:
    older, newer = deletion_cost(NOW - 600, NOW), deletion_cost(NOW - 599, NOW)
    assert deletion_cost(None, NOW) is None
    assert older is not None
    assert newer is not None
    assert 0 < BUSY_COST < newer < older < MAX_COST


def test_the_cost_fits_the_annotation_for_decades() -> None:
    assert BUSY_COST < int(deletion_cost(NOW + 50 * 365 * 86_400, NOW + 51 * 365 * 86_400) or 0) < 2**31


def test_a_long_job_is_written_once(update: Callable[[float, float | None], list[int | None]]) -> None:
    for second in range(500):
        written = update(second, second + 0.3 * (second % 2))
    assert written == [BUSY_COST, deletion_cost(NOW, NOW + LONG_JOB_S)]


def test_short_jobs_one_after_the_other_are_written_once(
    update: Callable[[float, float | None], list[int | None]],
) -> None:
    for second in range(100):
        written = update(second, second % 3)
    assert written == [BUSY_COST]


def test_the_annotation_is_removed_when_the_pod_is_idle(
    update: Callable[[float, float | None], list[int | None]],
) -> None:
    update(0, 0)
    assert update(1, None) == [BUSY_COST], "not at once: jobs that come and go are one write in ten seconds"
    assert update(LONG_JOB_S, None) == [BUSY_COST, None]


def test_a_cost_that_could_not_be_written_is_written_later(
    update: Callable[[float, float | None], list[int | None]], pods: Pods
) -> None:
    pods.unavailable = True
    update(0, 0)
    pods.unavailable = False
    assert update(LONG_JOB_S, LONG_JOB_S) == [deletion_cost(NOW, NOW + LONG_JOB_S)]

"""The deletion cost of a pod: which pod goes first, and how seldom that is written."""

import os
from collections.abc import Callable

import pytest

from common.settings import Settings
from worker.supervision.pod_deletion_cost import BUSY_COST, LONG_JOB_S, MAX_COST, DeletionCost, cost

NOW = 1_800_000_000.0


class Pods:
    """An API server, of which only what is written to it counts."""

    def __init__(self) -> None:
        self.written: list[int | None] = []
        self.away = False

    def write(self, wanted: int | None) -> None:
        if self.away:
            raise OSError("away")
        self.written.append(wanted)


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def tell(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float | None], list[int | None]]:
    """Say at a second for how long the longest job has run; returns all that has been written."""
    for name, value in {
        "DATABASE_URL": "postgresql://127.0.0.1/x",
        "REDIS_URL": "redis://127.0.0.1/0",
        "JOBPROC_POD_DELETION_COST": "true",
        "JOBPROC_POD_NAME": "pod-1",
        "JOBPROC_POD_NAMESPACE": "jobs",
    }.items():
        monkeypatch.setenv(name, value)
    at = [NOW]
    writer = DeletionCost(Settings.from_env(os.environ), clock=lambda: at[0], write=pods.write)

    def say(second: float, longest_s: float | None) -> list[int | None]:
        at[0] = NOW + second
        writer.update(longest_s)
        if writer._writer is not None:
            writer._writer.join(5)
        return pods.written

    return say


def test_idle_pods_go_first_then_those_with_short_jobs_and_the_longest_job_last() -> None:
    older, newer = cost(NOW - 600, NOW), cost(NOW - 599, NOW)
    assert cost(None, NOW) is None
    assert older is not None
    assert newer is not None
    assert 0 < BUSY_COST < newer < older < MAX_COST


def test_the_cost_fits_the_annotation_for_decades() -> None:
    assert BUSY_COST < int(cost(NOW + 50 * 365 * 86_400, NOW + 51 * 365 * 86_400) or 0) < 2**31


def test_a_long_job_is_written_once(tell: Callable[[float, float | None], list[int | None]]) -> None:
    for second in range(500):
        written = tell(second, second + 0.3 * (second % 2))
    assert written == [BUSY_COST, cost(NOW, NOW + LONG_JOB_S)]


def test_short_jobs_one_after_the_other_are_written_once(tell: Callable[[float, float | None], list[int | None]]) -> None:
    for second in range(100):
        written = tell(second, second % 3)
    assert written == [BUSY_COST]


def test_it_is_taken_back_when_idle(tell: Callable[[float, float | None], list[int | None]]) -> None:
    tell(0, 0)
    assert tell(1, None) == [BUSY_COST], "not at once: jobs that come and go are one write in ten seconds"
    assert tell(LONG_JOB_S, None) == [BUSY_COST, None]


def test_what_could_not_be_written_is_written_later(tell: Callable[[float, float | None], list[int | None]], pods: Pods) -> None:
    pods.away = True
    tell(0, 0)
    pods.away = False
    assert tell(LONG_JOB_S, LONG_JOB_S) == [cost(NOW, NOW + LONG_JOB_S)]

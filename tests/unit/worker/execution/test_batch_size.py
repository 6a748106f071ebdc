"""The batch size of claims."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.execution.batch_size import BatchSize

durations = st.floats(0, 1e6)


def test_one_job_is_claimed_from_a_queue_that_was_not_measured_yet() -> None:
    assert BatchSize(0.05, 400).jobs("default") == 1


def test_a_batch_takes_about_as_long_as_is_set() -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_queue("default", 0.010, 10)
    assert batch_size.jobs("default") == 50
    assert batch_size.jobs("slow") == 1


def test_a_long_job_is_claimed_alone() -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_queue("slow", 2.0, 1)
    assert batch_size.jobs("slow") == 1


def test_no_batch_is_larger_than_the_limit() -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_queue("default", 0.0, 1)
    assert batch_size.jobs("default") == 400


def test_the_batch_size_follows_a_change_after_several_batches_and_not_after_one() -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_queue("default", 0.001, 10)
    before = batch_size.jobs("default")
    batch_size.learn_queue("default", 0.010, 10)
    assert 50 < batch_size.jobs("default") < before
    for _ in range(30):
        batch_size.learn_queue("default", 0.010, 10)
    assert batch_size.jobs("default") == pytest.approx(50, abs=1)


@given(st.lists(st.tuples(durations, st.integers(1, 1000)), max_size=20), st.integers(1, 1000))
@settings(deadline=None, max_examples=200)
def test_a_batch_has_between_one_job_and_the_limit_for_any_measurement(
    measured: list[tuple[float, int]], max_jobs: int
) -> None:
    batch_size = BatchSize(0.05, max_jobs)
    for seconds, jobs in measured:
        batch_size.learn_queue("default", seconds, jobs)
        assert 1 <= batch_size.jobs("default") <= max_jobs


@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
@settings(deadline=None, max_examples=200)
def test_shorter_jobs_never_lead_to_a_smaller_batch(first_s: float, second_s: float) -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_queue("short", min(first_s, second_s), 1)
    batch_size.learn_queue("long", max(first_s, second_s), 1)
    assert batch_size.jobs("short") >= batch_size.jobs("long")


def test_an_operation_counts_as_long_until_it_was_measured_to_be_short() -> None:
    batch_size = BatchSize(0.05, 400)
    assert batch_size.is_long("noop")
    batch_size.learn_operation("noop", 0.001)
    assert not batch_size.is_long("noop")
    batch_size.learn_operation("sleep", 0.05)
    assert batch_size.is_long("sleep")
    assert batch_size.is_long("unheard")


def test_an_operation_that_becomes_long_is_detected() -> None:
    batch_size = BatchSize(0.05, 400)
    batch_size.learn_operation("noop", 0.001)
    batch_size.learn_operation("noop", 1.0)
    assert batch_size.is_long("noop")

"""How many jobs are taken at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.execution.batch_size import BatchSize

durations = st.floats(0, 1e6)


def test_one_job_is_taken_while_nothing_is_known_of_a_queue() -> None:
    assert BatchSize(0.05, 400).jobs("default") == 1


def test_a_claim_takes_about_as_much_work_as_is_set() -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_queue("default", 0.010, 10)
    assert pace.jobs("default") == 50
    assert pace.jobs("slow") == 1


def test_a_long_job_is_taken_alone() -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_queue("slow", 2.0, 1)
    assert pace.jobs("slow") == 1


def test_no_claim_takes_more_than_the_most() -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_queue("default", 0.0, 1)
    assert pace.jobs("default") == 400


def test_a_change_is_believed_after_some_batches_and_not_after_one() -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_queue("default", 0.001, 10)
    before = pace.jobs("default")
    pace.learn_queue("default", 0.010, 10)
    assert 50 < pace.jobs("default") < before
    for _ in range(30):
        pace.learn_queue("default", 0.010, 10)
    assert pace.jobs("default") == pytest.approx(50, abs=1)


@given(st.lists(st.tuples(durations, st.integers(1, 1000)), max_size=20), st.integers(1, 1000))
@settings(deadline=None, max_examples=200)
def test_a_batch_lies_between_one_and_the_most_whatever_was_measured(measured: list[tuple[float, int]], most: int) -> None:
    pace = BatchSize(0.05, most)
    for seconds, jobs in measured:
        pace.learn_queue("default", seconds, jobs)
        assert 1 <= pace.jobs("default") <= most


@given(st.floats(1e-6, 10), st.floats(1e-6, 10))
@settings(deadline=None, max_examples=200)
def test_shorter_jobs_never_mean_a_smaller_batch(one: float, other: float) -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_queue("short", min(one, other), 1)
    pace.learn_queue("long", max(one, other), 1)
    assert pace.jobs("short") >= pace.jobs("long")


def test_an_operation_may_keep_others_waiting_until_it_has_shown_to_be_short() -> None:
    pace = BatchSize(0.05, 400)
    assert pace.is_long("noop")
    pace.learn_operation("noop", 0.001)
    assert not pace.is_long("noop")
    pace.learn_operation("sleep", 0.05)
    assert pace.is_long("sleep")
    assert pace.is_long("unheard")


def test_an_operation_that_becomes_long_is_found_out() -> None:
    pace = BatchSize(0.05, 400)
    pace.learn_operation("noop", 0.001)
    pace.learn_operation("noop", 1.0)
    assert pace.is_long("noop")

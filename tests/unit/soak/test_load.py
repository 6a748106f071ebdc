"""What `make soak` sends, and what it must find."""

import random
from collections import Counter

import pytest
from soak.load import STREAMS, job, quantile
from soak.run import wanted


def test_most_jobs_are_plain_and_some_fail() -> None:
    chance = random.Random(1)
    sent = Counter(job(chance).operation for _ in range(10_000))
    assert sent["square_sum"] > 8_500
    assert min(sent["stumble"], sent["fail_for_good"], sent["sleep"]) > 50


def test_some_jobs_end_their_process() -> None:
    assert 0 < STREAMS["end"][0] < 1


@pytest.mark.parametrize(
    ("operation", "data", "result"), [("square_sum", [3, 4], 25), ("stumble", [1, 7], 7), ("fall_once", [8], 8), ("fail_for_good", [1], None)]
)
def test_a_job_results_in_what_its_operation_says(operation: str, data: list[float], result: float | None) -> None:
    assert wanted({"operation": operation, "data": data}) == result


def test_a_quantile_is_a_value_that_was_there() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 3
    assert quantile([1, 2, 3, 4], 1.0) == 4
    assert quantile([5], 0.99) == 5

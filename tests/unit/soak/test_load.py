"""The jobs that `make soak` sends, and the results that they must have."""

import random
from collections import Counter

import pytest
from soak.load import STREAMS, new_job, quantile
from soak.run import result_of


def test_most_jobs_are_plain_and_some_fail() -> None:
    chance = random.Random(1)
    sent = Counter(new_job(chance).operation for _ in range(10_000))
    assert sent["square_sum"] > 8_500
    assert min(sent["stumble"], sent["fail_for_good"], sent["sleep"]) > 50


def test_some_jobs_crash_their_process() -> None:
    assert 0 < STREAMS["crash"][0] < 1


@pytest.mark.parametrize(
    ("operation", "data", "result"),
    [("square_sum", [3, 4], 25), ("stumble", [1, 7], 7), ("fall_once", [8], 8), ("fail_for_good", [1], None)],
)
def test_a_job_must_have_the_result_of_its_operation(operation: str, data: list[float], result: float | None) -> None:
    assert result_of({"operation": operation, "data": data}) == result


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 3
    assert quantile([1, 2, 3, 4], 1.0) == 4
    assert quantile([5], 0.99) == 5

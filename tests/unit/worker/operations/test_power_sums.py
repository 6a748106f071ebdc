"""Sums of powers, compared with exact fractions."""

import math
import time
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.operations.power_sums import Numbers, cube_sum, power_sum, square_sum

#: Numbers from here on round to 2**1024, which is not a double: half a unit above the largest double.
TOO_LARGE = Fraction(2**1024 - 2**970)
EXTREMES = [
    1e308,
    -1e308,
    1.7976931348623157e308,
    5e-324,
    -5e-324,
    -0.0,
    0.0,
    2.2250738585072014e-308,
    1e154,
    1e103,
    1 / 3,
    0.1,
    2.0**53 + 2,
    1.0,
]

doubles = st.sampled_from(EXTREMES) | st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e100, 1e100)


def is_nearest(value: float, exact: Fraction) -> bool:
    """Return True if no double is nearer; of two equally near doubles it must be the even one."""
    distance = abs(Fraction(value) - exact)
    for neighbour in (math.nextafter(value, -math.inf), math.nextafter(value, math.inf)):
        other = abs((Fraction(neighbour) if math.isfinite(neighbour) else TOO_LARGE + 2**970) - exact)
        if other < distance or (other == distance and int(math.frexp(value)[0] * 2**53) % 2):
            return False
    return True


@given(st.lists(doubles, min_size=1, max_size=20), st.sampled_from([2, 3]))
@example([1e308, 1e308], 2)
@example([1e308, 5e-324], 3)
@example([5e-324], 3)
@example([-0.0], 2)
@example([1.0, 1e100, 1.0, -1e100], 3)
@settings(deadline=None, max_examples=300)
def test_a_sum_is_the_double_nearest_to_the_exact_sum(data: list[float], power: int) -> None:
    exact = sum((Fraction(x) ** power for x in data), Fraction())
    if abs(exact) >= TOO_LARGE:
        with pytest.raises(OverflowError):
            power_sum(data, power)
    else:
        assert is_nearest(power_sum(data, power), exact)


@given(st.lists(doubles, min_size=1, max_size=10), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_the_order_of_the_numbers_does_not_matter(data: list[float], random: object) -> None:
    shuffled = data[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    try:
        assert power_sum(data, 3) == power_sum(shuffled, 3)
    except OverflowError:
        with pytest.raises(OverflowError):
            power_sum(shuffled, 3)


@pytest.mark.parametrize(
    ("data", "squares", "cubes"),
    [
        ([1, 2, 3], 14.0, 36.0),
        ([0.1], 0.010000000000000002, 0.0010000000000000002),
        ([-2, 2], 8.0, 0.0),
        ([5e-324], 0.0, 0.0),
        ([1e200, -1e200, 1e-5], None, 1e-15),
    ],
)
def test_known_sums(data: list[float], squares: float | None, cubes: float) -> None:
    numbers = Numbers(data=data)
    if squares is not None:
        assert square_sum(numbers) == squares
    assert cube_sum(numbers) == pytest.approx(cubes, rel=1e-15, abs=0)


def test_a_zero_has_no_sign() -> None:
    for power in (2, 3):
        assert math.copysign(1, power_sum([-0.0, -0.0], power)) == 1
    assert math.copysign(1, power_sum([-5e-324], 3)) == -1


@pytest.mark.parametrize("data", [[1e308], [1e155], [1e154] * 2 + [1.4e154], [-1e103] * 2])
def test_a_sum_past_the_largest_double_overflows_instead_of_being_infinite(data: list[float]) -> None:
    exact = sum((Fraction(x) ** 3 for x in data), Fraction())
    assert abs(exact) >= TOO_LARGE
    with pytest.raises(OverflowError):
        cube_sum(Numbers(data=data))


def test_an_intermediate_overflow_does_not_matter() -> None:
    assert cube_sum(Numbers(data=[1e300, -1e300, 2.0])) == 8.0


WIDE = {
    "all sizes": [5e-324, 1e102, -1e102, 1.5, 1e-200] * 2_000,
    "large ones beside the smallest": [5e-324] + [1e98] * 9_999,
    "every exponent": [math.ldexp(1.1, exponent % 1_390 - 1_070) for exponent in range(10_000)],
}


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE.keys())
def test_a_sum_of_ten_thousand_numbers_of_any_size_takes_as_long_as_that_of_large_ones(data: list[float]) -> None:
    """The largest input. Each number was scaled to the smallest one, an integer of 4,200 bits: six times as long."""
    seconds = {"large": 1e9, "wide": 1e9}
    for _ in range(5):
        for name, numbers in (("large", [1e100] * 10_000), ("wide", data)):
            began = time.process_time()
            power_sum(numbers, 3)
            seconds[name] = min(seconds[name], time.process_time() - began)
    assert seconds["wide"] < 2 * seconds["large"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"data":[]}',
        '{"data":[NaN]}',
        '{"data":[Infinity]}',
        '{"data":[1e400]}',
        '{"data":["x"]}',
        '{"data":[1],"more":2}',
        '{"data":[[1]]}',
    ],
)
def test_an_input_that_is_not_a_list_of_finite_numbers_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError):
        Numbers.model_validate_json(text)

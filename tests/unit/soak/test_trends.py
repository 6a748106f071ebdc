"""The statistics of `make soak` find a leak, and take neither noise nor a step for one."""

import math
import random
from collections.abc import Callable

import pytest
from soak.trends import LEAST_SAMPLES, Trend, student, thirds, trend

EVERY_S, SAMPLES = 5.0, 180  # fifteen minutes
TIMES = [n * EVERY_S for n in range(SAMPLES)]
MINUTES = [at / 60 for at in TIMES]


def noise(size: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0, size) for _ in TIMES]


def wander(size: float, seed: int) -> list[float]:
    """Noise in which each value is like the one before, as memory that is taken and given back in turns."""
    found = [0.0]
    for one in noise(size, seed)[1:]:
        found.append(0.95 * found[-1] + one)
    return found


def of(form: Callable[[float], float], added: list[float] | None = None) -> Trend:
    values = [80 + form(at) + more for at, more in zip(MINUTES, added or [0.0] * SAMPLES, strict=True)]
    found = trend(TIMES, values)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_a_mib_a_minute_is_found_and_measured(seed: int) -> None:
    found = of(lambda at: at, noise(0.5, seed))
    assert found.grows
    assert found.low < 60 < found.high or abs(found.slope - 60) < 2
    assert found.slope == pytest.approx(60, rel=0.05)
    assert found.percent == pytest.approx(100 * found.slope / found.mean)


def test_a_leak_is_found_where_memory_is_taken_in_steps() -> None:
    assert of(math.floor).grows
    assert of(lambda at: 2 * math.floor(at / 2)).grows


def test_a_leak_of_five_percent_an_hour_is_found_under_little_noise() -> None:
    assert of(lambda at: 4 * at / 60, noise(0.05, 1)).grows


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_leak(seed: int) -> None:
    assert not of(lambda _: 0.0, noise(2, seed)).grows


@pytest.mark.parametrize("seed", range(20))
def test_memory_that_wanders_is_no_leak(seed: int) -> None:
    assert not of(lambda _: 0.0, wander(0.05, seed)).grows


def test_an_interval_knows_that_neighbours_are_alike() -> None:
    def width(trend: Trend) -> float:
        return trend.high - trend.low

    loose, alike = noise(1, 3), wander(0.31, 3)  # the same spread
    assert width(of(lambda _: 0.0, alike)) > 3 * width(of(lambda _: 0.0, loose))


@pytest.mark.parametrize("seed", range(10))
def test_the_interval_of_a_slope_of_nothing_has_zero_in_it_nearly_always(seed: int) -> None:
    outside = sum(not (found.low <= 0 <= found.high) for one in range(40) for found in [of(lambda _: 0.0, noise(1, seed * 40 + one))])
    assert outside <= 8  # two are expected


@pytest.mark.parametrize("minute", range(1, 15))
def test_one_step_is_no_leak_wherever_it_is(minute: int) -> None:
    assert not of(lambda at: 5.0 * (at >= minute), noise(0.05, minute)).grows


def test_growth_that_ends_early_is_no_leak() -> None:
    assert not of(lambda at: 5 * (1 - math.exp(-at / 2)), noise(0.05, 1)).grows


def test_less_than_an_allocator_takes_at_once_is_no_leak() -> None:
    assert not of(lambda at: 0.4 * at / MINUTES[-1]).grows
    assert of(lambda at: 0.6 * at / MINUTES[-1]).grows


def test_memory_that_is_given_back_is_no_leak() -> None:
    found = of(lambda at: -at)
    assert found.slope < 0
    assert not found.grows


def test_memory_that_does_not_change_at_all_has_a_slope_of_nothing() -> None:
    assert of(lambda _: 0.0).slope == 0


def test_a_short_series_has_no_trend() -> None:
    short = LEAST_SAMPLES - 1
    assert trend(TIMES[:short], [float(n) for n in range(short)]) is None
    assert trend(TIMES[: short + 1], [float(n) for n in range(short + 1)]) is not None


@pytest.mark.parametrize(("freedom", "wanted"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_t(freedom: float, wanted: float) -> None:
    assert student(freedom) == pytest.approx(wanted, rel=0.04)


def test_thirds_are_by_time() -> None:
    assert thirds([0, 1, 2, 3, 8, 9], [1, 2, 3, 4, 5, 6]) == ([1, 2, 3], [4], [5, 6])

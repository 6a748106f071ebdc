"""The statistics of `make soak` detect a leak, but not noise or a step."""

import math
import random
from collections.abc import Callable

import pytest
from soak.trends import MIN_SAMPLES, Trend, student, thirds, trend

EVERY_S, SAMPLES = 5.0, 180  # fifteen minutes
TIMES = [n * EVERY_S for n in range(SAMPLES)]
MINUTES = [at / 60 for at in TIMES]


def noise(size: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(0, size) for _ in TIMES]


def wander(size: float, seed: int) -> list[float]:
    """Noise in which each value is correlated with the previous one, like memory that is allocated and freed."""
    values = [0.0]
    for step in noise(size, seed)[1:]:
        values.append(0.95 * values[-1] + step)
    return values


def trend_of(form: Callable[[float], float], added: list[float] | None = None) -> Trend:
    values = [80 + form(at) + more for at, more in zip(MINUTES, added or [0.0] * SAMPLES, strict=True)]
    fit = trend(TIMES, values)
    assert fit is not None
    return fit


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_of_a_mib_a_minute_is_detected_and_measured(seed: int) -> None:
    fit = trend_of(lambda at: at, noise(0.5, seed))
    assert fit.grows
    assert fit.low < 60 < fit.high or abs(fit.slope - 60) < 2
    assert fit.slope == pytest.approx(60, rel=0.05)
    assert fit.percent == pytest.approx(100 * fit.slope / fit.mean)


def test_a_leak_is_detected_if_memory_is_allocated_in_steps() -> None:
    assert trend_of(math.floor).grows
    assert trend_of(lambda at: 2 * math.floor(at / 2)).grows


def test_a_leak_of_five_percent_an_hour_is_detected_under_little_noise() -> None:
    assert trend_of(lambda at: 4 * at / 60, noise(0.05, 1)).grows


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_leak(seed: int) -> None:
    assert not trend_of(lambda _: 0.0, noise(2, seed)).grows


@pytest.mark.parametrize("seed", range(20))
def test_memory_that_wanders_is_no_leak(seed: int) -> None:
    assert not trend_of(lambda _: 0.0, wander(0.05, seed)).grows


def test_an_interval_is_wider_for_correlated_values() -> None:
    def width(trend: Trend) -> float:
        return trend.high - trend.low

    independent, correlated = noise(1, 3), wander(0.31, 3)  # the same spread
    assert width(trend_of(lambda _: 0.0, correlated)) > 3 * width(trend_of(lambda _: 0.0, independent))


@pytest.mark.parametrize("seed", range(10))
def test_the_interval_of_a_zero_slope_contains_zero_nearly_always(seed: int) -> None:
    outside = sum(
        not (fit.low <= 0 <= fit.high) for n in range(40) for fit in [trend_of(lambda _: 0.0, noise(1, seed * 40 + n))]
    )
    assert outside <= 8  # two are expected


@pytest.mark.parametrize("minute", range(1, 15))
def test_one_step_is_no_leak_at_any_time(minute: int) -> None:
    assert not trend_of(lambda at: 5.0 * (at >= minute), noise(0.05, minute)).grows


def test_growth_that_ends_early_is_no_leak() -> None:
    assert not trend_of(lambda at: 5 * (1 - math.exp(-at / 2)), noise(0.05, 1)).grows


def test_growth_below_one_step_of_an_allocator_is_no_leak() -> None:
    assert not trend_of(lambda at: 0.4 * at / MINUTES[-1]).grows
    assert trend_of(lambda at: 0.6 * at / MINUTES[-1]).grows


def test_freed_memory_is_no_leak() -> None:
    fit = trend_of(lambda at: -at)
    assert fit.slope < 0
    assert not fit.grows


def test_constant_memory_has_a_zero_slope() -> None:
    assert trend_of(lambda _: 0.0).slope == 0


def test_a_short_series_has_no_trend() -> None:
    short = MIN_SAMPLES - 1
    assert trend(TIMES[:short], [float(n) for n in range(short)]) is None
    assert trend(TIMES[: short + 1], [float(n) for n in range(short + 1)]) is not None


@pytest.mark.parametrize(("freedom", "expected"), [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_t_is_approximated(freedom: float, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, rel=0.04)


def test_thirds_are_divided_by_time() -> None:
    assert thirds([0, 1, 2, 3, 8, 9], [1, 2, 3, 4, 5, 6]) == ([1, 2, 3], [4], [5, 6])

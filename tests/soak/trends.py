"""Trends of series: the slope by least squares, its 95 % interval corrected for autocorrelation, and steadiness."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression

HOUR_S = 3600.0
LIMIT_PERCENT = 1.0  # of the mean, an hour: 0.8 MiB of 80, which is 20 % a day
STEP_MIB = 0.5  # over the judged time: one step of an allocator, and the least that such a time can show
BLOCKS = 6
STEADY_RISES = 4  # of the five changes from block to block; one step makes at most two
STEADY_SHARE = 0.25
MIN_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope, an hour, with the ends of its 95 % interval.

    `steady`: the blocks rise (or fall) one after the other, not in one step. `beyond`: the mean of the last block is
    above every value before the judged time.
    """

    slope: float
    low: float
    high: float
    mean: float
    span_h: float
    steady: bool
    beyond: bool

    @property
    def percent(self) -> float:
        """The slope in percent of the mean, an hour."""
        return 100 * self.slope / self.mean if self.mean else 0.0

    @property
    def limit(self) -> float:
        """The slope up to which a series counts as flat."""
        return max(LIMIT_PERCENT / 100 * self.mean, STEP_MIB / self.span_h)

    @property
    def grows(self) -> bool:
        """True if it grows significantly, by more than the limit, steadily, and beyond earlier values."""
        return self.low > 0 and self.slope > self.limit and self.steady and self.beyond


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t by Cornish and Fisher: within 4 % from three degrees of freedom on."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def trend(times_s: Sequence[float], values: Sequence[float], before: Sequence[float] = ()) -> Trend | None:
    """Return the trend of a series, None if it is too short. `before`: its earlier values, which are not judged.

    Memory changes in steps, so neighbours in time are correlated: n samples count as n (1 - r) / (1 + r), where r is
    the correlation of a residual with the next.
    """
    count = len(values)
    if count < MIN_SAMPLES:
        return None
    hours = [(at - times_s[0]) / HOUR_S for at in times_s]
    slope, start = linear_regression(hours, values)
    residuals = [value - start - slope * at for at, value in zip(hours, values, strict=True)]
    squares = sum(residual * residual for residual in residuals)
    correlation = min(0.99, max(0.0, sum(a * b for a, b in pairwise(residuals)) / squares)) if squares > 1e-12 else 0.0
    freedom = max(3.0, count * (1 - correlation) / (1 + correlation) - 2)
    mean_hour = fmean(hours)
    error = math.sqrt(
        squares / (count - 2) / sum((at - mean_hour) ** 2 for at in hours) * (1 + correlation) / (1 - correlation)
    )
    width = student(freedom) * error
    means = [fmean(values[count * n // BLOCKS : count * (n + 1) // BLOCKS]) for n in range(BLOCKS)]
    beyond = means[-1] > max(before, default=-math.inf)
    return Trend(
        slope, slope - width, slope + width, fmean(values), hours[-1], _steady(means, slope * hours[-1]), beyond
    )


def _steady(means: Sequence[float], rise: float) -> bool:
    min_change, sign = STEADY_SHARE * abs(rise) / BLOCKS, math.copysign(1, rise)
    return sum((after - before) * sign >= min_change for before, after in pairwise(means)) >= STEADY_RISES


def thirds(times_s: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """Return the values of each third of the time span."""
    parts: tuple[list[float], list[float], list[float]] = ([], [], [])
    begin, span = times_s[0], max(1e-9, times_s[-1] - times_s[0])
    for at, value in zip(times_s, values, strict=True):
        parts[min(2, int(3 * (at - begin) / span))].append(value)
    return parts

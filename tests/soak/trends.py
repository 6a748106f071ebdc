"""Whether a series grows: its slope by least squares with a 95 % interval that knows of autocorrelation, and whether it grows all the time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression

HOUR_S = 3600.0
LIMIT_PERCENT = 1.0  # of the mean an hour: 0.8 MiB of 80, which a day later are 20 %
STEP_MIB = 0.5  # over the judged time: what an allocator takes at once, and the least that such a time can show
BLOCKS = 6
STEADY_RISES = 4  # of the five rises from block to block; one step makes at most two
STEADY_SHARE = 0.25
LEAST_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope, an hour, with the ends of its 95 % interval.

    `steady`: the blocks rise (or fall) one after the other, not in one step. `beyond`: the last one stands above all that was before the judged time.
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
        """Whether it grows: certainly, by more than the limit, all the time, and not back to where it has been."""
        return self.low > 0 and self.slope > self.limit and self.steady and self.beyond


def student(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, by Cornish and Fisher; within 4 % from three degrees of freedom on."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def trend(times_s: Sequence[float], values: Sequence[float], before: Sequence[float] = ()) -> Trend | None:
    """Return the trend of a series; None for one that is too short. `before`: its values until then, which are not judged.

    Memory moves in steps, so neighbours in time are alike: n samples count as n (1 - r) / (1 + r), r the correlation of a residual with the next.
    """
    count = len(values)
    if count < LEAST_SAMPLES:
        return None
    hours = [(at - times_s[0]) / HOUR_S for at in times_s]
    slope, start = linear_regression(hours, values)
    rest = [value - start - slope * at for at, value in zip(hours, values, strict=True)]
    squares = sum(one * one for one in rest)
    alike = min(0.99, max(0.0, sum(a * b for a, b in pairwise(rest)) / squares)) if squares > 1e-12 else 0.0
    freedom = max(3.0, count * (1 - alike) / (1 + alike) - 2)
    middle = fmean(hours)
    error = math.sqrt(squares / (count - 2) / sum((at - middle) ** 2 for at in hours) * (1 + alike) / (1 - alike))
    width = student(freedom) * error
    means = [fmean(values[count * n // BLOCKS : count * (n + 1) // BLOCKS]) for n in range(BLOCKS)]
    beyond = means[-1] > max(before, default=-math.inf)
    return Trend(slope, slope - width, slope + width, fmean(values), hours[-1], _steady(means, slope * hours[-1]), beyond)


def _steady(means: Sequence[float], rise: float) -> bool:
    least, sign = STEADY_SHARE * abs(rise) / BLOCKS, math.copysign(1, rise)
    return sum((after - before) * sign >= least for before, after in pairwise(means)) >= STEADY_RISES


def thirds(times_s: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """Return the values of each third of the time."""
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    begin, span = times_s[0], max(1e-9, times_s[-1] - times_s[0])
    for at, value in zip(times_s, values, strict=True):
        found[min(2, int(3 * (at - begin) / span))].append(value)
    return found

"""Sums of powers, correctly rounded: exact in integers, rounded once at the end."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobproc import operation


class Numbers(BaseModel):
    """Input of the operations on a list of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


def power_sum(data: list[float], power: int) -> float:
    """Return the sum of x**power, correctly rounded. Raises OverflowError past the largest double.

    A double is an integer over a power of two, so the sum over the largest denominator is exact. Python's division of
    two integers rounds correctly. Numbers with the same denominator are summed first, so that only one integer for each
    denominator, a thousand at most, is scaled to the largest one.
    """
    sums: dict[int, int] = {}  # by denominator
    for x in data:
        numerator, denominator = x.as_integer_ratio()
        sums[denominator] = sums.get(denominator, 0) + numerator**power
    scale = max(sums)
    total = sum(part * (scale // denominator) ** power for denominator, part in sums.items())
    return float(total / scale**power)


@operation(name="square_sum", permanent=(OverflowError,))
def square_sum(numbers: Numbers) -> float:
    """Sum of the squares of the numbers, correctly rounded."""
    return power_sum(numbers.data, 2)


@operation(name="cube_sum", permanent=(OverflowError,))
def cube_sum(numbers: Numbers) -> float:
    """Sum of the cubes of the numbers, correctly rounded."""
    return power_sum(numbers.data, 3)

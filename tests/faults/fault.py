"""What goes wrong. Each fault happens, lasts, is over, and says what shows that it happened; None: it missed its window.

A further fault is one function with `@fault` in a module `of_….py`. The numbers are those of the fault matrix.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Takes the place, on this machine or in a cluster, and a source of chance.
Work = Callable[[Any, random.Random], str | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    work: Work
    interrupts: bool  #: whether a job may run again because of it
    where: str  #: the kind of place that it is for

    @property
    def kind(self) -> str:
        """What it is of: two of one kind would get into each other's way."""
        return self.work.__module__


FAULTS: dict[str, Fault] = {}
HERE, CLUSTER = "here", "cluster"


def fault(*, interrupts: bool, where: str = HERE) -> Callable[[Work], Work]:
    """Put a function into FAULTS."""

    def put(work: Work) -> Work:
        FAULTS[work.__name__] = Fault(work.__name__, work, interrupts, where)
        return work

    return put

"""What goes wrong. Each fault happens, lasts, is over, and says what shows that it happened; None: it missed its window.

A further fault is one function with `@fault` in a module `of_….py`. The numbers are those of the fault matrix.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from faults.place import Place

Work = Callable[[Place, random.Random], str | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    work: Work
    interrupts: bool  #: whether a job may run again because of it

    @property
    def kind(self) -> str:
        """What it is of: two of one kind would get into each other's way."""
        return self.work.__module__


FAULTS: dict[str, Fault] = {}


def fault(*, interrupts: bool) -> Callable[[Work], Work]:
    """Put a function into FAULTS."""

    def put(work: Work) -> Work:
        FAULTS[work.__name__] = Fault(work.__name__, work, interrupts)
        return work

    return put

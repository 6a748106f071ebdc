"""The registry of faults. A fault is injected, lasts, is healed and returns its evidence; None: it missed its window.

To add a fault, write a function with `@fault` in a module `faults_of_….py`. Numbers such as F1 are of the fault matrix.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Takes the environment, on this machine or in a cluster, and a source of randomness.
Inject = Callable[[Any, random.Random], str | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    name: str
    inject: Inject
    interrupts: bool  #: True if a job may run again because of it
    where: str  #: the kind of environment that it needs

    @property
    def may_stop_claims(self) -> bool:
        """True if workers may be unable to claim during the fault."""
        return self.interrupts or self.name.startswith("worker")

    @property
    def kind(self) -> str:
        """The group of the fault. Two faults of one group would interfere, so they never run together."""
        return self.inject.__module__


FAULTS: dict[str, Fault] = {}
LOCAL, CLUSTER = "local", "cluster"


def fault(*, interrupts: bool, where: str = LOCAL) -> Callable[[Inject], Inject]:
    """Register a function in FAULTS."""

    def register(inject: Inject) -> Inject:
        FAULTS[inject.__name__] = Fault(inject.__name__, inject, interrupts, where)
        return inject

    return register

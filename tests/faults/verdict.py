"""The verdict of a law on a run."""

from collections.abc import Callable
from dataclasses import dataclass, field

from faults.evidence import Evidence


@dataclass(slots=True)
class Verdict:
    """The number of facts that a law has judged, and its violations. A law without a fact has proven nothing: VOID."""

    judged: int = 0
    violations: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Judge one fact; `otherwise` describes its violation."""
        self.judged += 1
        if not holds:
            self.violations.append(otherwise)


Law = Callable[[Evidence, Verdict], None]

"""What a law says of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field

from faults.evidence import Evidence


@dataclass(slots=True)
class Verdict:
    """How many facts a law has judged, and those that break it. Without a fact it has proven nothing: void."""

    judged: int = 0
    broken: list[str] = field(default_factory=list)

    def that(self, holds: bool, otherwise: str) -> None:
        """Judge a fact."""
        self.judged += 1
        if not holds:
            self.broken.append(otherwise)


Law = Callable[[Evidence, Verdict], None]

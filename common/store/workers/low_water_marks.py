"""Low-water marks: how far a worker process has claimed. Below its mark it has nothing left to find."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from common.domain.job import PRIORITIES

NIL_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class LowWaterMarks:
    """Low-water marks of one worker process in one queue, by priority. Below them it has no more jobs to claim."""

    claimable_at: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, "-infinity"))
    id: dict[int, str] = field(default_factory=lambda: dict.fromkeys(PRIORITIES, NIL_UUID))

    def advance(self, limit: int, claimed: Sequence[tuple[int, str, str]], floor: str) -> None:
        """Move the marks after a claim of up to `limit` jobs (priority, claimable_at, id). `floor`: now less
        MARK_SLACK.

        A claim of fewer jobs has read every priority to its end: all marks move to the floor. A full claim has read the
        priorities before that of its last row to their end, and that one up to the row.
        """
        if len(claimed) < limit:
            exhausted, last = PRIORITIES.stop, None
        else:
            last = max(claimed)
            exhausted = last[0]
        for priority in range(exhausted):
            self.claimable_at[priority], self.id[priority] = floor, NIL_UUID
        if last is not None:
            self.claimable_at[exhausted], self.id[exhausted] = min((last[1], last[2]), (floor, NIL_UUID))

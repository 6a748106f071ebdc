"""Fairness between tenants as a law: who wants little waits for no more than a batch, however much another wants."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """The first attempt of a job; times are of the database's clock, in seconds."""

    job_id: str
    tenant: int
    queue: str
    due_s: float
    started_s: float

    @property
    def waited_s(self) -> float:
        """The time between both, in seconds."""
        return self.started_s - self.due_s


def lonely_waits(waits: Iterable[Wait], limit_s: float, disturbed: Sequence[tuple[float, float]] = ()) -> list[Wait]:
    """Return the waits of jobs whose tenant wanted nothing else for `limit_s`, or until they started.

    A job that waits beside others of its tenant has to wait for those. `disturbed`: spans of time, such as those of
    faults, in which no worker may have been able to claim; a wait that meets one is not returned.
    """
    by_line = defaultdict[tuple[str, int], list[Wait]](list)
    for wait in waits:
        by_line[wait.queue, wait.tenant].append(wait)
    lonely = list[Wait]()
    for line in by_line.values():
        line.sort(key=lambda wait: wait.due_s)
        started_s = float("-inf")  # the last start of those before it
        for number, wait in enumerate(line):
            next_due_s = line[number + 1].due_s if number + 1 < len(line) else float("inf")
            was_alone = started_s <= wait.due_s and next_due_s > min(wait.started_s, wait.due_s + limit_s)
            started_s = max(started_s, wait.started_s)
            if was_alone and not any(began <= wait.started_s and ended >= wait.due_s for began, ended in disturbed):
                lonely.append(wait)
    return lonely


def unfair_waits(waits: Iterable[Wait], limit_s: float, disturbed: Sequence[tuple[float, float]] = ()) -> Iterator[str]:
    """Yield a sentence for each job that waited for longer than `limit_s` although its tenant wanted nothing else."""
    for wait in lonely_waits(waits, limit_s, disturbed):
        if wait.waited_s > limit_s:
            yield (
                f"{wait.job_id}, the only waiting job of tenant {wait.tenant} in {wait.queue!r}, "
                f"waited for {wait.waited_s:.2f} s"
            )

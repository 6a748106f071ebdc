"""Evidence that breaks the law of the change feed."""

from collections.abc import Callable
from dataclasses import replace

from faults.evidence import Evidence
from unit.faults import good_run
from unit.faults.good_feed import with_changes, with_feed

GOOD = with_feed(good_run.GOOD)
LAW = "a_feed_has_every_change_once"
CHANGES = GOOD.feed[1]
END = next(index for index, change in enumerate(CHANGES) if change.status == "SUCCESS")
BEGIN = next(index for index, change in enumerate(CHANGES) if change.status == "IN_PROGRESS")


def without(index: int) -> Evidence:
    """Return the good run without a change; the numbers of the others have no gap."""
    left = [*CHANGES[:index], *CHANGES[index + 1 :]]
    return with_changes(GOOD, [replace(change, number=number) for number, change in enumerate(left, 1)])


#: The law that breaks, the reason and the evidence.
BROKEN_FEED: list[tuple[str, str, Callable[[], Evidence]]] = [
    (LAW, "an end is left out", lambda: without(END)),
    (LAW, "an attempt is left out", lambda: without(BEGIN)),
    (LAW, "a submission is left out", lambda: without(0)),
    (LAW, "the numbers have a gap", lambda: with_changes(GOOD, CHANGES[1:])),
    (LAW, "a change is there twice", lambda: with_changes(GOOD, [*CHANGES, CHANGES[-1]])),
    (
        LAW,
        "a job's changes are in another order",
        lambda: with_changes(GOOD, [*CHANGES[:-1], replace(CHANGES[-1], revision=0)]),
    ),
    (LAW, "a client has missed a change", lambda: replace(GOOD, feed_readers=[CHANGES, CHANGES[:-1]])),
]

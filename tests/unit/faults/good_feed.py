"""The change feed of the good run, made of its tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from faults.evidence import Evidence
from faults.feed import PastChange


def with_feed(run: Evidence) -> Evidence:
    """Return a run with the feed that its tables ask for, read by two clients."""
    numbers = count(1)
    changes = [replace(change, number=next(numbers)) for job_id in run.stored for change in _of_job(run, job_id)]
    return with_changes(run, changes)


def with_changes(run: Evidence, changes: Sequence[PastChange]) -> Evidence:
    """Return a run with other changes in the feed of the default tenant, as both clients have read them."""
    feed: Mapping[int, Sequence[PastChange]] = {1: changes}
    return replace(run, feed=feed, feed_readers=[changes, changes])


def _of_job(run: Evidence, job_id: str) -> Iterator[PastChange]:
    revisions = count()
    for outcome in run.outcomes.get(job_id, ()):
        number = outcome.run_number
        yield PastChange(0, job_id, number, "PENDING", 0, next(revisions))
        for past in run.past_attempts(job_id, number):
            yield PastChange(0, job_id, number, "IN_PROGRESS", past.attempt, next(revisions))
            yield PastChange(0, job_id, number, "RETRYING", past.attempt, next(revisions))
        yield PastChange(0, job_id, number, outcome.status, outcome.attempt, next(revisions))

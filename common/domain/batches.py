"""Batches: many jobs that are submitted together, and a job that follows when all of them have ended.

The ids of a batch's jobs are one range: they have its millisecond and its 42 random bits, and count on in the last 32
bits, from 1. The batch itself has the number 0. So a job needs no column for its batch, and a batch no list of jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from common.domain.job import NewJob, new_job_id

MAX_NUMBER = (1 << 32) - 1
_RANDOM_BITS = 42


class BatchState(StrEnum):
    """The state of a batch. Names are on the wire."""

    OPEN = "OPEN"  #: jobs may be added
    CLOSED = "CLOSED"  #: no job can be added, and some have not ended
    ENDED = "ENDED"  #: all jobs have ended since it was closed; it stays so if one is retried by request


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that is about to be stored."""

    id: UUID
    tenant: int
    submitted_by: str | None  #: the subject of the caller; None: callers are not authenticated
    closed: bool  #: its jobs are stored with it
    follow_up: NewJob | None = None  #: the job that is stored when the batch ends
    webhook: UUID | None = None  #: the endpoint that is told of each end
    is_workflow: bool = False  #: its jobs wait for each other

    @property
    def follow_ups(self) -> tuple[NewJob, ...]:
        """The follow-up, or none: it counts against the quotas with the jobs that are submitted now."""
        return () if self.follow_up is None else (self.follow_up,)


def new_batch_id(unix_ms: int, random_bits: int) -> UUID:
    """Return a UUIDv7 for a batch: a time in Unix milliseconds, 42 random bits, and the number 0."""
    return new_job_id(unix_ms, (random_bits & ((1 << _RANDOM_BITS) - 1)) << 32)


def batch_job_id(batch_id: UUID, number: int) -> UUID:
    """Return the id of a batch's job of a number, from 1 to MAX_NUMBER."""
    return UUID(int=batch_id.int + number)


def range_of(job_id: UUID) -> UUID:
    """Return the id with the number 0 in the range of an id."""
    return UUID(int=job_id.int & ~MAX_NUMBER)


def last_job_id(batch_id: UUID) -> UUID:
    """Return the highest id that a job of a batch can have."""
    return UUID(int=batch_id.int | MAX_NUMBER)


def state_of(closed_at: datetime | None, ended_at: datetime | None) -> BatchState:
    """Return the state of a batch with these times."""
    if ended_at is not None:
        return BatchState.ENDED
    return BatchState.OPEN if closed_at is None else BatchState.CLOSED


def progress(jobs: int, unfinished: int) -> float:
    """Return the share of a batch's jobs that have ended, 0 to 1; 1 without jobs."""
    return 1.0 if not jobs else (jobs - unfinished) / jobs


def numbers_of(jobs: Sequence[NewJob]) -> tuple[UUID, UUID]:
    """Return the lowest and the highest id of jobs."""
    return min(job.id for job in jobs), max(job.id for job in jobs)

"""What goes over the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from common.domain.states import State

JOB_ID = Field(description="The job's id, a UUIDv7.", examples=["019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"])


class Accepted(BaseModel):
    """The job is stored and will run."""

    job_id: UUID = JOB_ID
    status: State = Field(examples=[State.PENDING])


class BatchAccepted(BaseModel):
    """All jobs are stored and will run."""

    job_ids: list[UUID] = Field(description="In the order of the submissions.")
    status: State = Field(examples=[State.PENDING])


class Status(BaseModel):
    """Where a job is."""

    status: State


class Result(BaseModel):
    """What came out of a job."""

    job_id: UUID = JOB_ID
    status: State
    result: Any = Field(description="The operation's result; null before the end and where there is none.", examples=[14.0])


class Failure(BaseModel):
    """Why a job, or an attempt, has no result."""

    type: str = Field(description="A code such as `timeout` or `worker_lost`, or the class of the exception.", examples=["timeout"])
    text: str


class AttemptView(BaseModel):
    """An attempt that has ended."""

    epoch: int
    attempt: int
    worker: int | None = Field(description="The worker process that ran it.")
    started_at: datetime
    ended_at: datetime
    retry_at: datetime | None = Field(description="When the job could run again; null for the attempt that ended it.")
    outcome: str = Field(description="success, failed, cancelled, error, timeout, lost or released; a released attempt is not charged.")
    error: Failure | None


class Progress(BaseModel):
    """How far the running attempt says it is."""

    fraction: float | None
    text: str | None


class JobView(BaseModel):
    """Everything that is known of a job."""

    job_id: UUID = JOB_ID
    status: State
    operation: str
    queue: str
    priority: int
    input: Any = Field(description="As it was sent; null once it has been removed.")
    input_removed: bool = Field(description="Whether the input of the finished job has been removed: JOBPROC_PAYLOAD_DAYS.")
    created_at: datetime
    due_at: datetime | None = Field(description="When it may be claimed; null while it runs and after the end.")
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int = Field(description="Attempts so far, the running one included.")
    max_attempts: int
    timeout_seconds: float | None = Field(description="Limit of one attempt; null: no limit.")
    progress: Progress | None
    result: Any
    error: Failure | None
    attempts: list[AttemptView] = Field(description="Attempts that have ended, oldest first; at most 100.")


class Check(BaseModel):
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether this process can take submissions."""

    ready: bool
    checks: list[Check]


class Liveness(BaseModel):
    """This process answers."""

    alive: bool


class Rates(BaseModel):
    """Jobs a second that ended, over the last minutes."""

    last_minute: float = Field(description="Over the last whole minute and the part of the one under way.", examples=[41.7])
    last_5_minutes: float = Field(examples=[40.2])
    last_15_minutes: float = Field(examples=[12.9])


class QueueView(BaseModel):
    """How a queue is."""

    queue: str = Field(examples=["default"])
    queued: int = Field(description="Due jobs that wait; counted up to JOBPROC_GAUGE_CAP_JOBS.", examples=[120])
    running: int = Field(description="Jobs that a worker holds.", examples=[8])
    oldest_due_seconds: float = Field(description="How long the oldest job that may run has waited; 0 when none does.", examples=[2.5])
    workers_alive: int = Field(description="Worker processes with a lease that serve it.", examples=[4])
    accepted_per_second: float = Field(description="Jobs that came in, over the last minute or the newest 10,000 of all queues.", examples=[42.0])
    succeeded_per_second: Rates
    failed_per_second: Rates


class Stats(BaseModel):
    """How the queues are."""

    queues: list[QueueView]

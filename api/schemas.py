"""What goes over the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from common.domain.states import State

EXAMPLE_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JOB_ID = Field(description="The job's id, a UUIDv7.", examples=[EXAMPLE_ID])


class JobAccepted(BaseModel):
    """The job is stored and will run."""

    job_id: UUID = JOB_ID
    status: State = Field(examples=[State.PENDING])


class BatchAccepted(BaseModel):
    """All jobs are stored and will run."""

    job_ids: list[UUID] = Field(description="In the order of the submissions.")
    status: State = Field(examples=[State.PENDING])


class ProgressView(BaseModel):
    """How far the running attempt says it is."""

    fraction: float | None = Field(examples=[0.4])
    text: str | None = Field(examples=["row 4,000 of 10,000"])


class CancelView(BaseModel):
    """What became of the wish to cancel a job."""

    job_id: UUID = JOB_ID
    status: State = Field(
        description="CANCELLED: it has ended. IN_PROGRESS: it runs and is asked to stop. Another: it had ended before.", examples=[State.CANCELLED]
    )
    cancel_requested: bool = Field(description="The job runs and is asked to stop; it will end CANCELLED, whatever the attempt leads to.", examples=[False])


class RetryView(BaseModel):
    """The job will run once more, with all its attempts anew."""

    job_id: UUID = JOB_ID
    status: State = Field(examples=[State.PENDING])
    epoch: int = Field(description="How often it has been retried by request.", examples=[1])


class StatusView(BaseModel):
    """Where a job is."""

    status: State
    progress: ProgressView | None = Field(None, description="Only where the running attempt has reported some.")


class ResultView(BaseModel):
    """What came out of a job."""

    job_id: UUID = JOB_ID
    status: State
    result: Any = Field(description="The operation's result; null before the end and where there is none.", examples=[14.0])


class ErrorView(BaseModel):
    """Why a job, or an attempt, has no result."""

    type: str = Field(description="A code such as `timeout` or `worker_lost`, or the class of the exception.", examples=["timeout"])
    text: str


class UsageView(BaseModel):
    """What an attempt took."""

    run_seconds: float | None = Field(description="In the operation; null: nobody saw it, as after a lost worker.")
    overhead_seconds: float | None = Field(description="The rest of the time from its start to its end: waiting in a batch, and to be stored.")
    cpu_seconds: float | None = Field(description="Of its process meanwhile.")
    peak_mebibytes: float | None = Field(description="Most memory that its process had while its batch ran.")


class AttemptView(BaseModel):
    """An attempt that has ended."""

    epoch: int
    attempt: int
    worker: int | None = Field(description="The worker process that ran it.")
    started_at: datetime
    ended_at: datetime
    retry_at: datetime | None = Field(description="When the job could run again; null for the attempt that ended it.")
    outcome: str = Field(description="success, failed, cancelled, error, timeout, lost or released; a released attempt is not charged.")
    error: ErrorView | None
    took: UsageView


class StateView(BaseModel):
    """A state that the job came to."""

    at: datetime
    status: State
    epoch: int = Field(description="0; one more with each explicit retry of the finished job, and with each undo of an action that cancelled it.")
    attempt: int | None = Field(description="That began or ended with it.")
    worker: int | None
    error: ErrorView | None


class RunView(BaseModel):
    """A further epoch of the finished job."""

    epoch: int
    at: datetime
    input: Any = Field(description="The input from then on; null: that of the epoch before.")
    undo: bool = Field(description="It goes on as it was before an action cancelled it, by the undo of that action; false: an explicit retry.")


class BackoffView(BaseModel):
    """What the submission asked for between attempts, in seconds."""

    base: float
    cap: float


class UniqueView(BaseModel):
    """The key that the job holds, or held."""

    key: str
    held_while: str = Field(serialization_alias="while", validation_alias="while", description="waiting, running or both.")


class SelfLink(BaseModel):
    """Where everything that is known of a job is."""

    self: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"])


class JobLinks(SelfLink):
    """Where to go on with a job, as paths."""

    status: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/status"])
    result: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/result"])
    cancel: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/cancel"])
    retry: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/retry"])
    events: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/events"])
    explain: str = Field(examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/explain"])


class JobSummaryView(BaseModel):
    """A job in a list."""

    job_id: UUID = JOB_ID
    status: State
    operation: str = Field(examples=["square_sum"])
    queue: str = Field(examples=["default"])
    priority: int
    tags: list[str]
    created_at: datetime
    due_at: datetime | None = Field(description="When it may be claimed; null while it runs and after the end.")
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int = Field(description="Attempts so far, the running one included.")
    max_attempts: int
    error: ErrorView | None = Field(description="The first 200 characters of its text; all of it is in GET /jobs/{job_id}.")
    links: SelfLink


class JobList(BaseModel):
    """A page of jobs."""

    jobs: list[JobSummaryView]
    next: str | None = Field(description="The path of the next page, also in the Link header; null on the last one.")
    scanned: int = Field(description="Rows that were walked for this page.", examples=[50])
    estimated_total: int | None = Field(
        description="About how many the whole list has, on its first page, from the database's statistics; null where they do not know.", examples=[1_204_000]
    )


class JobView(BaseModel):
    """Everything that is known of a job."""

    job_id: UUID = JOB_ID
    status: State
    operation: str
    version: int = Field(description="Of its operation, as it was when the job came.")
    queue: str
    priority: int
    input: Any = Field(description="As it was submitted; what later epochs got is in `reruns`. Null once it has been removed.")
    input_removed: bool = Field(description="Whether the input has been removed, after the job's end: JOBPROC_PAYLOAD_DAYS.")
    tags: list[str]
    metadata: dict[str, Any] | None = Field(description="The client's own, as it was submitted.")
    created_at: datetime
    run_at: datetime | None = Field(description="Not before then, as it was submitted; null: at once.")
    due_at: datetime | None = Field(description="When its next attempt may begin; null while it runs and after the end.")
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    epoch: int = Field(description="0; one more with each explicit retry of the finished job, and with each undo of an action that cancelled it.")
    attempt: int = Field(description="Attempts so far, the running one included.")
    max_attempts: int
    timeout_seconds: float | None = Field(description="Limit of one attempt; null: no limit.")
    backoff: BackoffView | None = Field(description="null: that of its operation.")
    keep_seconds: int | None = Field(description="How long it is kept after its end; null: as the operator says.")
    unique: UniqueView | None
    worker: int | None = Field(description="The worker process that runs it, or that ended it.")
    cancel_requested: bool = Field(description="Its running attempt has been asked to stop.")
    progress: ProgressView | None
    result: Any
    error: ErrorView | None
    attempts: list[AttemptView] = Field(description="Attempts that have ended, oldest first; at most the last 100.")
    reruns: list[RunView] = Field(description="Its further epochs, by explicit retries and by the undo of actions, oldest first; at most the last 10.")
    timeline: list[StateView] = Field(description="Its states, first to last, as far as its attempts are shown.")
    links: JobLinks


class CheckView(BaseModel):
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


class ReadinessView(BaseModel):
    """Whether this process can take submissions."""

    ready: bool
    checks: list[CheckView]


class LivenessView(BaseModel):
    """This process answers."""

    alive: bool


class RatesView(BaseModel):
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
    succeeded_per_second: RatesView
    failed_per_second: RatesView


class QueueStatsView(BaseModel):
    """How the queues are."""

    queues: list[QueueView]

"""The response models of jobs, health checks and queues. Their docstrings and descriptions are API documentation."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from common.domain.states import State

EXAMPLE_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JOB_ID = Field(description="The id of the job, a UUIDv7.", examples=[EXAMPLE_ID])
_RUN = (
    "The number of the run. 0 is the first; each manual retry begins the next one, and so does each undo of a bulk "
    "action that cancelled the job."
)


class JobAccepted(BaseModel):
    """A job that is stored and will run."""

    job_id: UUID = JOB_ID
    status: State = Field(description="The state of the job.", examples=[State.PENDING])


class BatchAccepted(BaseModel):
    """A batch of jobs, all of which are stored and will run."""

    job_ids: list[UUID] = Field(description="The ids of the jobs, in the order of the submissions.")
    status: State = Field(description="Always `PENDING`.", examples=[State.PENDING])


class ProgressView(BaseModel):
    """The progress that the running attempt has reported."""

    fraction: float | None = Field(description="The share of the work that is done, 0 to 1.", examples=[0.4])
    text: str | None = Field(description="A message of the operation.", examples=["row 4,000 of 10,000"])


class CancelView(BaseModel):
    """The outcome of a request to cancel a job."""

    job_id: UUID = JOB_ID
    status: State = Field(
        description="`CANCELLED`: the job has ended. `IN_PROGRESS`: it is running and was asked to stop. "
        "Any other state: it had already ended.",
        examples=[State.CANCELLED],
    )
    cancel_requested: bool = Field(
        description="True if the job is running and was asked to stop. It will end `CANCELLED`, whatever the outcome "
        "of the attempt.",
        examples=[False],
    )


class RetryView(BaseModel):
    """A manual retry: the job runs once more, with all its attempts."""

    job_id: UUID = JOB_ID
    status: State = Field(description="The state of the job.", examples=[State.PENDING])
    run: int = Field(description="The number of the new run; the submission is run 0.", examples=[1])


class StatusView(BaseModel):
    """The state of a job."""

    status: State
    progress: ProgressView | None = Field(None, description="Absent unless the running attempt has reported progress.")


class ResultView(BaseModel):
    """The result of a job."""

    job_id: UUID = JOB_ID
    status: State
    result: Any = Field(description="The result of the operation. Null until the job has succeeded.", examples=[14.0])


class ErrorView(BaseModel):
    """The error of a job or of an attempt."""

    type: str = Field(
        description="A code such as `timeout` or `worker_lost`, or the class of the exception.", examples=["timeout"]
    )
    text: str = Field(description="The message of the error.")


class UsageView(BaseModel):
    """The resources that an attempt used."""

    execution_seconds: float | None = Field(
        description="The time in the operation. Null if it was not measured, as when the worker was lost."
    )
    overhead_seconds: float | None = Field(
        description="The rest of the time from start to end of the attempt: waiting within a batch, and being stored."
    )
    cpu_seconds: float | None = Field(description="The CPU time of the worker process during the operation.")
    peak_memory_mebibytes: float | None = Field(
        description="The peak memory of the worker process while the batch of the attempt ran."
    )


class AttemptView(BaseModel):
    """An attempt that has ended."""

    run: int = Field(description="The number of its run.")
    attempt: int = Field(description="The number of the attempt within its run; the first is 1.")
    worker: int | None = Field(description="The id of the worker process that ran it.")
    started_at: datetime
    finished_at: datetime
    retry_at: datetime | None = Field(description="When the job could run again. Null if the attempt ended its run.")
    outcome: str = Field(
        description="`success`, `failed`, `cancelled`, `error`, `timeout`, `lost` or `released`. "
        "A released attempt is not charged."
    )
    error: ErrorView | None
    took: UsageView


class StateView(BaseModel):
    """A change of the job's state."""

    at: datetime = Field(description="When the job entered the state.")
    status: State
    run: int = Field(description=_RUN)
    attempt: int | None = Field(description="The attempt that began or ended with the change.")
    worker: int | None = Field(description="The id of the worker process of that attempt.")
    error: ErrorView | None


class RunView(BaseModel):
    """A run after the first one."""

    run: int = Field(description="The number of the run.")
    at: datetime = Field(description="When the run began.")
    input: Any = Field(description="The input of this run. Null if it is that of the previous run.")
    undo: bool = Field(
        description="True if the run continues the job after the undo of a bulk action that cancelled it. "
        "False for a manual retry."
    )


class BackoffView(BaseModel):
    """The delays between failed attempts."""

    base_seconds: float = Field(description="The delay before the second attempt, without jitter.")
    cap_seconds: float = Field(description="The longest delay.")


class UniqueView(BaseModel):
    """The unique key of a job."""

    key: str
    held_while: str = Field(
        serialization_alias="while",
        validation_alias="while",
        description="When the job holds the key: `waiting`, `running` or `both`.",
    )


class SelfLink(BaseModel):
    """The link to a resource."""

    self: str = Field(description="The path of the resource.", examples=[f"/jobs/{EXAMPLE_ID}"])


class JobLinks(SelfLink):
    """Links to a job and to the requests about it, as paths."""

    status: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/status"])
    result: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/result"])
    cancel: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/cancel"])
    retry: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/retry"])
    events: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/events"])
    explain: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/explain"])


class JobView(BaseModel):
    """A job with its attempts and its history."""

    job_id: UUID = JOB_ID
    status: State
    operation: str = Field(description="The name of the operation.")
    version: int = Field(description="The version of the operation when the job was submitted.")
    queue: str
    priority: int = Field(description="0 (first) to 9.")
    input: Any = Field(
        description="The submitted input; those of later runs are in `runs`. Null once the input has been removed."
    )
    input_removed: bool = Field(
        description="True if the input was removed after the end of the job; see JOBPROC_INPUT_RETENTION_DAYS."
    )
    tags: list[str]
    metadata: dict[str, Any] | None = Field(description="The submitted metadata.")
    created_at: datetime
    run_at: datetime | None = Field(description="The submitted earliest start. Null: immediately.")
    due_at: datetime | None = Field(
        description="When the next attempt may begin. Null while an attempt runs and after the end of the job."
    )
    started_at: datetime | None = Field(description="When the attempt began that is running, or that ended the job.")
    finished_at: datetime | None = Field(description="When the job ended.")
    deadline: datetime | None = Field(description="The time by which the job must have ended.")
    run: int = Field(description=_RUN)
    attempt: int = Field(description="The number of attempts so far, including the running one.")
    max_attempts: int = Field(description="The number of charged attempts after which the job ends `FAILED`.")
    timeout_seconds: float | None = Field(description="The time limit of one attempt. Null: none.")
    backoff: BackoffView | None = Field(description="The submitted backoff. Null: the default of the operation.")
    keep_seconds: int | None = Field(
        description="How long the job is kept after its end. Null: the retention of the operator."
    )
    unique: UniqueView | None
    worker: int | None = Field(description="The id of the worker process that runs the job, or that ended it.")
    cancel_requested: bool = Field(description="True if the running attempt was asked to stop.")
    progress: ProgressView | None
    result: Any = Field(description="The result of the operation. Null until the job has succeeded.")
    error: ErrorView | None
    attempts: list[AttemptView] = Field(description="The last 100 attempts that have ended, oldest first.")
    runs: list[RunView] = Field(
        description="The last 10 runs that manual retries or undone bulk actions began, oldest first."
    )
    timeline: list[StateView] = Field(description="The states of the job in order, as far as `attempts` reaches back.")
    links: JobLinks


class CheckView(BaseModel):
    """A readiness check."""

    name: str
    ok: bool = Field(description="True if the check passed.")
    detail: str = Field(description="The finding of the check, for people.")


class ReadinessView(BaseModel):
    """The readiness of an API process."""

    ready: bool = Field(description="True if the process can accept submissions.")
    checks: list[CheckView]


class LivenessView(BaseModel):
    """The liveness of an API process."""

    alive: bool = Field(description="Always true.")


class RatesView(BaseModel):
    """The number of jobs per second that ended, over three periods."""

    last_minute: float = Field(description="Over one whole minute and the current one so far.", examples=[41.7])
    last_5_minutes: float = Field(description="Over five whole minutes and the current one so far.", examples=[40.2])
    last_15_minutes: float = Field(description="Over 15 whole minutes and the current one so far.", examples=[12.9])


class QueueView(BaseModel):
    """The depth, age and throughput of a queue."""

    queue: str = Field(description="The name of the queue.", examples=["default"])
    queued: int = Field(description="Due jobs that wait, counted up to JOBPROC_QUEUE_COUNT_LIMIT.", examples=[120])
    running: int = Field(description="Jobs that worker processes hold.", examples=[8])
    oldest_due_seconds: float = Field(
        description="How long the oldest due job has waited. 0 if none waits.", examples=[2.5]
    )
    workers_alive: int = Field(description="Worker processes with a valid lease that serve the queue.", examples=[4])
    accepted_per_second: float = Field(
        description="Jobs submitted per second, over the last minute or the newest 10,000 jobs of all queues.",
        examples=[42.0],
    )
    succeeded_per_second: RatesView
    failed_per_second: RatesView


class QueueStatsView(BaseModel):
    """The statistics of all queues."""

    queues: list[QueueView]

"""The response models of jobs, health checks and queues. Their docstrings and descriptions are API documentation."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from common.domain.states import State

EXAMPLE_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JOB_ID = Field(description="The id of the job, a UUIDv7.", examples=[EXAMPLE_ID])


class JobAccepted(BaseModel):
    """A job that is stored and will run."""

    job_id: UUID = JOB_ID
    status: State = Field(description="The state of the job.", examples=[State.PENDING])


class ValidSubmission(BaseModel):
    """The job that a submission would store."""

    operation: str = Field(description="The name of the operation.", examples=["square_sum"])
    version: int = Field(description="The version of the operation.", examples=[1])
    queue: str = Field(description="The queue of the job.", examples=["default"])
    priority: int = Field(description="The priority, 0 (first) to 9.", examples=[5])
    max_attempts: int = Field(description="The most attempts.", examples=[3])
    timeout_seconds: float | None = Field(description="The time limit of an attempt. Null: there is none.")
    status: State = Field(description="The state in which the job would begin.", examples=[State.PENDING])


class ErrorView(BaseModel):
    """The error of a job or of an attempt."""

    type: str = Field(
        description="A code such as `timeout` or `worker_lost`, or the class of the exception.", examples=["timeout"]
    )
    text: str = Field(description="The message of the error.")


class SubmittedJob(BaseModel):
    """A job that has ended while the client waited, or that existed before."""

    job_id: UUID = JOB_ID
    status: State = Field(description="The state of the job.", examples=[State.SUCCESS])
    result: Any = Field(
        None,
        description="With `wait`, if the job has ended: its result, or null unless it has succeeded. Otherwise absent.",
        examples=[14.0],
    )
    error: ErrorView | None = Field(None, description="With `wait`, if the job has ended `FAILED`. Otherwise absent.")


class LineRange(BaseModel):
    """Lines whose jobs have ids that follow each other."""

    first_line: int = Field(description="The number of the first line, from 1.", examples=[1])
    last_line: int = Field(description="The number of the last line.", examples=[1_000_000])
    first_job_id: UUID = Field(
        description="The id of the job of the first line. That of line n is higher by n - `first_line`.",
        examples=[EXAMPLE_ID],
    )


class RefusedLineView(BaseModel):
    """A line of which no job was stored."""

    line: int = Field(description="The number of the line, from 1.", examples=[17])
    type: str = Field(description="URI of the kind of problem.", examples=["urn:jobproc:problem:invalid-body"])
    detail: str = Field(description="Explanation, for people.", examples=["17.data: Field required"])


class BatchAccepted(BaseModel):
    """Jobs of a batch, which are stored and will run."""

    job_ids: list[UUID] = Field(
        description="The ids of the jobs, in the order of the submissions. Empty for NDJSON, which has `ranges`."
    )
    status: State = Field(description="Always `PENDING`.", examples=[State.PENDING])
    batch_id: UUID = Field(
        description="The id of the batch of the jobs. Jobs that existed before are not in it.", examples=[EXAMPLE_ID]
    )
    jobs: int | None = Field(
        None, description="The number of jobs of NDJSON that are stored. Otherwise absent.", examples=[999_999]
    )
    ranges: list[LineRange] | None = Field(
        None, description="The ids of the jobs of NDJSON. Lines of refused jobs may lie in a range. Otherwise absent."
    )
    refused: list[RefusedLineView] | None = Field(
        None,
        description="The lines of NDJSON of which no job was stored, if `atomic` is false. After a thousand of them no "
        "further line is read. Otherwise absent.",
    )
    complete: bool | None = Field(
        None, description="False if not all lines of NDJSON were read. Otherwise absent.", examples=[True]
    )


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
    error: ErrorView | None = Field(None, description="Why the job failed. Absent unless it has ended `FAILED`.")


class ManyResultsBody(BaseModel):
    """The jobs whose results are read."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"job_ids": [EXAMPLE_ID]}]})

    job_ids: list[UUID] = Field(
        min_length=1, description="Ids of jobs, up to JOBPROC_RESULTS_MAX_JOBS (1,000).", examples=[[EXAMPLE_ID]]
    )


class EndedJobView(ResultView):
    """The result of a job that has ended."""

    attempt: int = Field(description="The number of its last attempt; 0: it had none.", examples=[1])
    result_omitted: bool = Field(
        description="True: the result, or the text of the error, has more than 4 KiB; GET /jobs/{job_id}/result has it."
    )


class ManyResultsView(BaseModel):
    """The results of the jobs of a request that have ended."""

    ended: list[EndedJobView] = Field(description="Those that have ended, in the order of the request.")
    unfinished: int = Field(description="The number of those that have not ended.", examples=[0])
    not_found: list[UUID] = Field(description="Ids of which there is no job, or no longer one.", examples=[[]])


class BackoffView(BaseModel):
    """The delays between failed attempts."""

    base_seconds: float = Field(description="The delay before the second attempt, without jitter.")
    cap_seconds: float = Field(description="The longest delay.")


class WebhookView(BaseModel):
    """The endpoint that is told of an end."""

    endpoint_id: UUID = Field(examples=[EXAMPLE_ID])


class SelfLink(BaseModel):
    """The link to a resource."""

    self: str = Field(description="The path of the resource.", examples=[f"/jobs/{EXAMPLE_ID}"])


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

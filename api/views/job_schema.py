"""The response models of GET /jobs/{job_id} and its input. Their docstrings and descriptions are API documentation.

They describe the responses in the OpenAPI document; `job_detail.py` builds the bodies without them.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas import EXAMPLE_ID, JOB_ID, BackoffView, ErrorView, ProgressView, SelfLink, WebhookView
from common.domain.states import State

_RUN = (
    "The number of the run. 0 is the first; each manual retry begins the next one, and so does each undo of a bulk "
    "action that cancelled the job."
)


class InputView(BaseModel):
    """The input with which a run of a job began."""

    job_id: UUID = JOB_ID
    run: int = Field(description=_RUN)
    input: Any = Field(description="The input of the run. Null once it has been removed.", examples=[{"data": [1, 2]}])
    input_removed: bool = Field(
        description="True if the input was removed after the end of the job; see JOBPROC_INPUT_RETENTION_DAYS."
    )


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


class FailureView(ErrorView):
    """The error of a job or of an attempt, with its traceback."""

    traceback: str | None = Field(
        description="The traceback of the exception, the frames of the operation first, cut in the middle to "
        "JOBPROC_MAX_TRACEBACK_CHARACTERS. Null if no code of the operation raised, and in older attempts of a job "
        "with many.",
        examples=['Traceback (most recent call last):\n  File "/app/acme.py", line 7, in send\nValueError: no address'],
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
    error: FailureView | None
    took: UsageView


class StateView(BaseModel):
    """A change of the job's state."""

    at: datetime = Field(description="When the job entered the state.")
    status: State
    run: int = Field(description=_RUN)
    attempt: int | None = Field(description="The attempt that began or ended with the change.")
    worker: int | None = Field(description="The id of the worker process of that attempt.")
    error: ErrorView | None


class RunLinks(BaseModel):
    """Links to the parts of a run, as paths."""

    input: str = Field(description="The input with which the run began.", examples=[f"/jobs/{EXAMPLE_ID}/input?run=1"])


class RunView(BaseModel):
    """A run after the first one."""

    run: int = Field(description="The number of the run.")
    at: datetime = Field(description="When the run began.")
    input: Any = Field(
        description="The input of this run. Null if it is that of the previous run, or if it is omitted."
    )
    input_omitted: bool = Field(
        description="True if the run has an input of its own that is larger than JOBPROC_JOB_INLINE_BYTES. "
        "`links.input` returns it."
    )
    undo: bool = Field(
        description="True if the run continues the job after the undo of a bulk action that cancelled it. "
        "False for a manual retry."
    )
    links: RunLinks


class UniqueView(BaseModel):
    """The unique key of a job."""

    key: str
    held_while: str = Field(
        serialization_alias="while",
        validation_alias="while",
        description="When the job holds the key: `waiting`, `running` or `both`.",
    )


class JobLinks(SelfLink):
    """Links to a job and to the requests about it, as paths."""

    status: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/status"])
    result: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/result"])
    input: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/input"])
    cancel: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/cancel"])
    retry: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/retry"])
    events: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/events"])
    logs: str = Field(examples=[f"/jobs/{EXAMPLE_ID}/logs"])
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
        description="The submitted input; those of later runs are in `runs`. Null if it is omitted or was removed."
    )
    input_removed: bool = Field(
        description="True if the input was removed after the end of the job; see JOBPROC_INPUT_RETENTION_DAYS."
    )
    input_omitted: bool = Field(
        description="True if the submitted input is larger than JOBPROC_JOB_INLINE_BYTES. `links.input` with `run=0` "
        "returns it."
    )
    tags: list[str]
    metadata: dict[str, Any] | None = Field(description="The submitted metadata.")
    concurrency_key: str | None = Field(description="The key whose jobs in the queue have limits. Null: none.")
    submitted_by: str | None = Field(
        description="Who submitted it: `key:` and the id of an API key, or `user:` and the subject of a token. Null if "
        "callers were not authenticated.",
        examples=["key:4fGh7KqLw2Zx"],
    )
    trace_id: str | None = Field(
        description="The id of the trace of its submission, 32 hexadecimal digits. Null: it was not traced.",
        examples=["0af7651916cd43dd8448eb211c80319c"],
    )
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
    webhook: WebhookView | None = Field(description="The endpoint that is told of the end of each run. Null: none.")
    worker: int | None = Field(description="The id of the worker process that runs the job, or that ended it.")
    cancel_requested: bool = Field(description="True if the running attempt was asked to stop.")
    progress: ProgressView | None
    result: Any = Field(
        description="The result of the operation. Null until the job has succeeded, or if it is omitted."
    )
    result_omitted: bool = Field(
        description="True if the result is larger than JOBPROC_JOB_INLINE_BYTES. `links.result` returns it."
    )
    error: FailureView | None
    attempts: list[AttemptView] = Field(
        description="The last 100 attempts that have ended, oldest first. Texts of errors are whole in the newest "
        "attempts, up to four times JOBPROC_JOB_INLINE_BYTES; older ones are cut to 200 characters. As many bytes of "
        "tracebacks are there; those of older attempts are null."
    )
    runs: list[RunView] = Field(
        description="The last 10 runs that manual retries or undone bulk actions began, oldest first."
    )
    timeline: list[StateView] = Field(description="The states of the job in order, as far as `attempts` reaches back.")
    links: JobLinks

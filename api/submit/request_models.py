"""The request bodies of submissions and manual retries. Their docstrings and descriptions are API documentation."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.web.stored_text import StoredText
from api.web.timestamps import Timestamp

MAX_TIMEOUT_S = 2_147_483  # 24 days; in milliseconds it fits the column
DAY_S = 86_400
_KEY = r"^[\x21-\x7e]{1,200}$"  # printable ASCII without spaces


_Numbers = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
Duration = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Backoff(_Model):
    """Exponential backoff with jitter between failed attempts.

    The delay after failure n is random, between 50 % and 100 % of min(`cap_seconds`, `base_seconds` · 2ⁿ⁻¹).
    """

    base_seconds: Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)] = Field(
        description="The delay in seconds before the second attempt, without jitter."
    )
    cap_seconds: Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)] = Field(
        description="The longest delay in seconds."
    )


class UniqueKey(_Model):
    """Deduplication of jobs: only one job may hold the key at a time."""

    key: Annotated[str, Field(pattern=_KEY)] = Field(description="1 to 200 printable ASCII characters without spaces.")
    held_while: Literal["waiting", "running", "both"] = Field(
        "both",
        alias="while",
        description="How long the job holds the key. `waiting`: until its first attempt begins. `running`: while an "
        "attempt runs, so jobs with the key run one after the other. `both`, the default: until it has ended.",
    )
    on_conflict: Literal["reject", "return", "replace"] = Field(
        "reject",
        description="The response if another job holds the key. `reject`, the default: 409. `return`: 200 with that "
        "job. `replace`: cancel that job and store this one, or 409 if that job is running.",
    )


class WebhookOption(_Model):
    """The endpoint that is told of an end."""

    endpoint_id: Annotated[UUID, Field(strict=False)] = Field(
        description="The id of an endpoint; see GET /webhooks/endpoints.",
        examples=["019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"],
    )


class _Options(_Model):
    operation: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="The name of an operation; see GET /operations.", examples=["square_sum"]
    )
    queue: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None,
        description="The queue of the job, one of `queues` of the operation in GET /operations. Default: its `queue`.",
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(
        5, description="0 (first) to 9. The order is exact across the whole queue. Default: 5."
    )
    run_at: Timestamp | None = Field(
        None,
        description="The earliest time at which the job may run, RFC 3339 with an offset. Default: now. Cannot be "
        "combined with `delay_seconds`.",
    )
    delay_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="Seconds until the job may run. Cannot be combined with `run_at`."
    )
    timeout_seconds: Duration | None = Field(
        None, description="The time limit of one attempt in seconds. Default: the operation's."
    )
    deadline: Timestamp | None = Field(
        None,
        description="The time by which the job must have ended, RFC 3339 with an offset. After it the job ends FAILED "
        "with the error `deadline_exceeded`, even if it never started.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="The number of charged attempts after which the job ends FAILED. Default: the operation's."
    )
    backoff: Backoff | None = Field(None, description="The delays between failed attempts. Default: the operation's.")
    tags: Annotated[list[Annotated[StoredText, Field(min_length=1, max_length=64)]], Field(max_length=20)] = Field(
        [], description="Up to 20 labels by which jobs can be listed."
    )
    metadata: dict[str, Any] | None = Field(
        None,
        description="Arbitrary data of the client, returned with the job, without the character U+0000. At most "
        "JOBPROC_MAX_METADATA_BYTES as JSON.",
    )
    unique: UniqueKey | None = None
    concurrency_key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")] | None = Field(
        None,
        description="1 to 200 printable ASCII characters without spaces. The policy of the queue limits how many jobs "
        "with one key run at once, or start a second. Not together with `unique` `while: running`.",
        examples=["customer-42"],
    )
    keep_seconds: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How long the job is kept after its end, in seconds. Default: the operator's retention."
    )
    webhook: WebhookOption | None = Field(
        None,
        description="The endpoint that is told of the end of each run of the job. Default: the default endpoint of the "
        "tenant, if it has one. Null: none.",
    )


class Submission(_Options):
    """A job for an operation on a list of numbers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [1, 2, 3], "operation": "square_sum"}]})

    data: _Numbers = Field(
        description="1 to 10,000 finite numbers (JOBPROC_MAX_NUMBERS). Each is read as a double-precision float."
    )


class InputSubmission(_Options):
    """A job for any operation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"input": {"data": [1, 2, 3]}, "operation": "cube_sum", "priority": 0, "tags": ["nightly"]}]
        }
    )

    input: Any = Field(
        default_factory=dict,
        description="The input of the operation. It must match `input_schema` in GET /operations. Default: `{}`, for "
        "operations that need no input.",
    )


_SUBMISSIONS: list[Any] = [
    {"$ref": f"#/components/schemas/{model.__name__}"} for model in (Submission, InputSubmission)
]


class BatchBody(_Model):
    """An open batch without jobs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"follow_up": {"operation": "square_sum", "data": [1, 2, 3]}}, {}]}
    )

    follow_up: Any = Field(
        None,
        description="A submission that is stored once, when the batch has ended. Its metadata then have the "
        "`batch_id`. It cannot have a `unique` key.",
        json_schema_extra={"anyOf": [*_SUBMISSIONS, {"type": "null"}]},
    )
    webhook: WebhookOption | None = Field(
        None,
        description="The endpoint that is told each time that the batch has ended. Default: the default endpoint of "
        "the tenant, if it has one. Null: none.",
    )


class RetryBody(_Model):
    """A new input for the job, as `data` or `input`. Without either, the job runs with the input that it has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [1, 2, 4]}, {"input": {"data": [1, 2, 4]}}, {}]})

    data: _Numbers = Field(default_factory=list, description="A list of numbers, as in a submission.")
    input: Any = Field(None, description="Any input, as in a submission.")


class PlainSubmission(_Model):
    """A submission without options, as most are. It is validated in half the time."""

    operation: Annotated[str, Field(min_length=1, max_length=64)]
    data: _Numbers


BODIES = (
    Submission,
    InputSubmission,
    RetryBody,
    BatchBody,
)  #: added to the OpenAPI document; their routes read bodies themselves
REF = "#/components/schemas/{model}"
SUBMISSION_SCHEMA = {"anyOf": _SUBMISSIONS}
RETRY_SCHEMA = {"$ref": REF.format(model=RetryBody.__name__)}

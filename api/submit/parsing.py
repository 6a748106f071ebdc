"""What a client may send, and the job that becomes of it."""

import json
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.submit.operations import CachedOperation, OperationCache
from api.web.problems import INVALID_BODY, MAX_ERRORS, field_problem, validation_problem
from api.web.timestamps import Timestamp
from common.domain.errors import InvalidSubmission
from common.domain.job import HeldWhile, NewJob, OnConflict, Options, Unique, new_job_id
from common.domain.states import State
from common.settings import Settings

MAX_TIMEOUT_S = 2_147_483  # in milliseconds it fits the column: 24 days
DAY_S = 86_400
_KEY = r"^[\x21-\x7e]{1,200}$"  # printable ASCII without spaces


_Numbers = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
Duration = Annotated[float, Field(gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Backoff(_Model):
    """How long to wait before the next attempt: between half and all of base · 2ⁿ seconds, at most cap."""

    base: Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)] = Field(description="Seconds before the second attempt.")
    cap: Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)] = Field(description="Longest wait in seconds.")


class UniqueKey(_Model):
    """One job a key at a time."""

    key: Annotated[str, Field(pattern=_KEY)] = Field(description="1 to 200 printable ASCII characters without spaces.")
    held_while: Literal["waiting", "running", "both"] = Field(
        "both",
        alias="while",
        description="`waiting`: until the first attempt begins. `running`: jobs of the key run one after the other. `both`: until the job has ended.",
    )
    on_conflict: Literal["reject", "return", "replace"] = Field(
        "reject",
        description="`reject`: 409. `return`: 200 with the job that holds the key. `replace`: that job is cancelled, unless it runs: then 409.",
    )


class _Options(_Model):
    operation: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="The name of an operation.", examples=["square_sum"])
    priority: Annotated[int, Field(ge=0, le=9)] = Field(5, description="0 is taken first, exactly, across the queue.")
    run_at: Timestamp | None = Field(None, description="Not before then; RFC 3339 with an offset. Without it, and without `delay`: at once.")
    delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(None, description="Not before so many seconds have passed. Not beside `run_at`.")
    timeout: Duration | None = Field(None, description="Limit of one attempt in seconds; without it that of the operation.")
    deadline: Timestamp | None = Field(None, description="A job that has not ended by then ends FAILED with `deadline_exceeded`, also if it never started.")
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Attempts that may fail; without it those of the operation.")
    backoff: Backoff | None = Field(None, description="Without it that of the operation.")
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=20)] = Field([], description="To find it by; at most 20.")
    metadata: dict[str, Any] | None = Field(None, description="The client's own; at most JOBPROC_MAX_METADATA_BYTES as JSON.")
    unique: UniqueKey | None = None
    keep: Annotated[int, Field(ge=1)] | None = Field(None, description="Seconds that it is kept after its end; without it as the operator says.")


class Submission(_Options):
    """A job on numbers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [1, 2, 3], "operation": "square_sum"}]})

    data: _Numbers = Field(description="1 to 10,000 finite numbers (JOBPROC_MAX_NUMBERS); each is read as a double.")


class InputSubmission(_Options):
    """A job on whatever its operation takes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": {"data": [1, 2, 3]}, "operation": "cube_sum", "priority": 0, "tags": ["nightly"]}]})

    input: Any = Field(description="What the operation takes: its `input_schema` in GET /operations.")


class RetryBody(_Model):
    """What a job is to run again with: numbers, or whatever its operation takes, or neither: then that which it has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [1, 2, 4]}, {"input": {"data": [1, 2, 4]}}, {}]})

    data: _Numbers = Field(default_factory=list, description="As in a submission.")
    input: Any = Field(None, description="As in a submission.")


class _Plain(_Model):
    operation: Annotated[str, Field(min_length=1, max_length=64)]
    data: _Numbers


_plain_adapter: TypeAdapter[_Plain] = TypeAdapter(_Plain)  # what most submissions are: read in half the time
_numbers_adapter: TypeAdapter[Submission] = TypeAdapter(Submission)
_input_adapter: TypeAdapter[InputSubmission] = TypeAdapter(InputSubmission)
_retry_adapter: TypeAdapter[RetryBody] = TypeAdapter(RetryBody)
BODIES = (Submission, InputSubmission, RetryBody)  #: of requests; their routes read bodies themselves
REF = "#/components/schemas/{model}"
SUBMISSION_SCHEMA = {"anyOf": [{"$ref": REF.format(model=kind.__name__)} for kind in (Submission, InputSubmission)]}
RETRY_SCHEMA = {"$ref": REF.format(model=RetryBody.__name__)}
_PLAIN_MEMBERS = frozenset(_Plain.model_fields)


def _adapter_for(value: Any) -> "TypeAdapter[_Plain] | TypeAdapter[Submission] | TypeAdapter[InputSubmission]":
    """Return what reads a submission."""
    if not isinstance(value, dict):
        return _numbers_adapter
    return _plain_adapter if value.keys() == _PLAIN_MEMBERS else _input_adapter if "input" in value else _numbers_adapter


class SubmissionParser:
    """Turns what clients send into jobs, or says what is wrong with it."""

    def __init__(self, settings: Settings, operations: OperationCache) -> None:
        self._settings = settings
        self._operations = operations

    async def parse(self, value: Any, at: str = "") -> NewJob:
        """Return the job of a submission that breaks no rule; `at` is where it stands in the body.

        Raises InvalidSubmission or ProblemError, which name the field, and StoreUnavailable while operations are not known.
        """
        settings = self._settings
        if isinstance(value, dict):
            _check_size(value, settings.max_numbers, at)
        try:
            chosen = _adapter_for(value).validate_python(value)
        except ValidationError as error:
            raise validation_problem(error, at=at) from error
        known = await self._operations.get(chosen.operation, f"{at}operation")
        text = _checked_input(value, known, at)
        spec = known.spec
        made = NewJob(
            id=new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74)),
            operation=spec.name,
            queue=spec.queue,
            input=text,
            max_attempts=spec.retry.max_attempts,
            timeout_ms=spec.timeout_ms,
            version=spec.version,
        )
        return made if isinstance(chosen, _Plain) else self._with_options(made, chosen, at)

    async def parse_retry_input(self, value: Any, operation: str) -> str | None:
        """Return, as JSON text, the input that a job of an operation is to run again with; None: with that which it has. Raises as `job` does."""
        if isinstance(value, dict):
            _check_size(value, self._settings.max_numbers, "")
        try:
            chosen = _retry_adapter.validate_python(value)
        except ValidationError as error:
            raise validation_problem(error) from error
        if not chosen.model_fields_set:
            return None
        if len(chosen.model_fields_set) > 1:
            raise InvalidSubmission("input", "data is there too; one of them is expected")
        return _checked_input(value, await self._operations.get(operation), "")

    def _with_options(self, job: NewJob, chosen: Submission | InputSubmission, at: str) -> NewJob:
        """Return the job with what the client asks for beyond its operation and input."""
        settings = self._settings
        attempts, backoff, metadata = chosen.max_attempts or job.max_attempts, chosen.backoff, None
        if chosen.metadata is not None:
            metadata = _json_text(chosen.metadata, f"{at}metadata")
            _check_maximum(len(metadata.encode()), settings.max_metadata_bytes, f"{at}metadata", "bytes as JSON")
        _check_maximum(chosen.max_attempts, settings.max_attempts, f"{at}max_attempts")
        _check_maximum(chosen.timeout, settings.max_timeout_seconds, f"{at}timeout", "seconds")
        _check_maximum(chosen.keep, settings.max_keep_days * DAY_S, f"{at}keep", "seconds")
        if backoff is not None:
            _check_maximum(backoff.base, settings.max_backoff_seconds, f"{at}backoff.base", "seconds")
            _check_maximum(backoff.cap, settings.max_backoff_seconds, f"{at}backoff.cap", "seconds")
        self._check_times(chosen, at)
        unique = chosen.unique
        options = Options(
            run_at=chosen.run_at,
            delay_s=chosen.delay,
            deadline=chosen.deadline,
            retry_base_s=None if backoff is None else backoff.base,
            retry_cap_s=None if backoff is None else backoff.cap,
            keep_s=chosen.keep,
            tags=tuple(dict.fromkeys(chosen.tags)),
            metadata=metadata,
            unique=None if unique is None else Unique(unique.key, HeldWhile(unique.held_while), OnConflict(unique.on_conflict)),
        )
        timeout_ms = job.timeout_ms if chosen.timeout is None else max(1, round(chosen.timeout * 1000))
        return replace(job, max_attempts=attempts, timeout_ms=timeout_ms, priority=chosen.priority, options=None if options == Options() else options)

    def _check_times(self, chosen: Submission | InputSubmission, at: str) -> None:
        now, most = datetime.now(UTC), timedelta(days=self._settings.max_delay_days)
        if chosen.delay is not None and chosen.run_at is not None:
            raise InvalidSubmission(f"{at}delay", "run_at is there too; one of them is expected")
        _check_maximum(chosen.delay, most.total_seconds(), f"{at}delay", "seconds")
        for name, instant in (("run_at", chosen.run_at), ("deadline", chosen.deadline)):
            if instant is not None and instant > now + most:
                raise InvalidSubmission(at + name, f"is more than {self._settings.max_delay_days} days ahead")
        begins = max(now, chosen.run_at or now) + timedelta(seconds=chosen.delay or 0)
        if chosen.deadline is not None and chosen.deadline <= begins:
            raise InvalidSubmission(f"{at}deadline", "is not after the time from which the job may run")


def _check_size(value: dict[str, Any], max_numbers: int, at: str) -> None:
    """Refuse what would take long to look at."""
    if isinstance(data := value.get("data"), list) and len(data) > max_numbers:
        raise InvalidSubmission(f"{at}data", f"has {len(data)} numbers, more than {max_numbers}")
    if len(value) > MAX_ERRORS:  # a hundred thousand errors would cost half a second and 100 MB
        unknown = [name for name in value if name not in Submission.model_fields]
        raise field_problem(INVALID_BODY, [(at + name, "Extra inputs are not permitted") for name in unknown[:MAX_ERRORS]], len(unknown))


def _checked_input(value: dict[str, Any], known: CachedOperation, at: str) -> str:
    """Return the text of an input that its operation does not refuse."""
    if "input" not in value:
        text, inside, wrong = _numbers_json(value["data"]), at.rstrip("."), known.input_errors({"data": value["data"]}, are_checked_numbers=True)
    else:
        text, inside, wrong = _json_text(value["input"], f"{at}input"), f"{at}input", known.input_errors(value["input"], are_checked_numbers=False)
    if wrong:
        raise field_problem(INVALID_BODY, [(f"{inside}.{path}".strip("."), reason) for path, reason in wrong], len(wrong))
    return text


def initial_state(job: NewJob) -> State:
    """Return the state that a job is accepted in."""
    options = job.options
    waits = options is not None and (bool(options.delay_s) or (options.run_at is not None and options.run_at > datetime.now(UTC)))
    return State.SCHEDULED if waits else State.PENDING


def _check_maximum(value: float | None, maximum: float, field: str, unit: str = "") -> None:
    if value is not None and value > maximum:
        raise InvalidSubmission(field, f"is more than {maximum:g}{unit and f' {unit}'}")


def _numbers_json(sent: list[Any]) -> str:
    try:
        return '{"data":%s}' % orjson.dumps(sent).decode()  # noqa: UP031 - braces
    except TypeError:  # an integer of more than 64 bits
        return '{"data":%s}' % json.dumps(sent, separators=(",", ":"))  # noqa: UP031 - braces


def _json_text(value: Any, field: str) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise InvalidSubmission(field, "has a number that is not finite") from error

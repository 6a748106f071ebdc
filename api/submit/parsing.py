"""Parses and validates submissions: from a request body to a `NewJob`."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.auth.principal import Principal
from api.new_ids import new_job_id_now
from api.submit.operations import CachedOperation, OperationCache
from api.submit.request_models import (
    DAY_S,
    InputSubmission,
    PlainSubmission,
    RetryBody,
    Submission,
    WebhookOption,
)
from api.submit.webhooks.known_endpoints import SubmissionWebhooks
from api.web.problem_kinds import INVALID_BODY
from api.web.problems import MAX_ERRORS, field_problem, validation_problem
from api.web.stored_text import has_nul
from common.domain.errors import InvalidSubmission
from common.domain.job import HeldWhile, NewJob, OnConflict, Options, Unique
from common.domain.operation_spec import OperationSpec
from common.domain.states import State
from common.settings import Settings

_plain_adapter: TypeAdapter[PlainSubmission] = TypeAdapter(PlainSubmission)
_numbers_adapter: TypeAdapter[Submission] = TypeAdapter(Submission)
_input_adapter: TypeAdapter[InputSubmission] = TypeAdapter(InputSubmission)
_retry_adapter: TypeAdapter[RetryBody] = TypeAdapter(RetryBody)
_PLAIN_MEMBERS = frozenset(PlainSubmission.model_fields)
_MODELS = ("backoff", "unique", "webhook")  # members that are models: each unknown member in one would be an error


def _adapter_for(
    value: Any,
) -> "TypeAdapter[PlainSubmission] | TypeAdapter[Submission] | TypeAdapter[InputSubmission]":
    """Return the adapter that validates a submission."""
    if not isinstance(value, dict):
        return _numbers_adapter
    if value.keys() == _PLAIN_MEMBERS:
        return _plain_adapter
    return _numbers_adapter if "data" in value and "input" not in value else _input_adapter


class SubmissionParser:
    """Parses request bodies of submissions and manual retries; errors name the field."""

    def __init__(self, settings: Settings, operations: OperationCache, webhooks: SubmissionWebhooks) -> None:
        self._settings = settings
        self._operations = operations
        self._webhooks = webhooks

    async def parse(self, value: Any, caller: Principal, prefix: str = "", job_id: UUID | None = None) -> NewJob:
        """Return the job of a caller's valid submission. `prefix` is its path in the body, such as `3.` in a batch.

        `job_id`: its id; None: a new one. Raises InvalidSubmission or ProblemError, which name the field, or
        StoreUnavailable if no operations are cached.
        """
        if isinstance(value, dict):
            _check_shape(value, self._settings.max_numbers, prefix)
        try:
            submission = _adapter_for(value).validate_python(value)
        except ValidationError as error:
            raise validation_problem(error, prefix=prefix) from error
        operation = await self._operations.get(submission.operation, f"{prefix}operation")
        text = _checked_input(value, operation, prefix)
        spec = operation.spec
        job = NewJob(
            id=job_id or new_job_id_now(),
            operation=spec.name,
            queue=spec.queue,
            input=text,
            max_attempts=spec.retry.max_attempts,
            timeout_ms=spec.timeout_ms,
            version=spec.version,
            tenant=caller.tenant,
            submitted_by=caller.submitted_by,
        )
        webhook = await self.webhook(submission, caller.tenant, prefix)
        if isinstance(submission, PlainSubmission):
            return job if webhook is None else replace(job, options=Options(webhook=webhook))
        if submission.queue is not None:
            job = replace(job, queue=_allowed_queue(submission.queue, spec, prefix))
        return self._with_options(job, submission, webhook, prefix)

    async def webhook(self, body: BaseModel, tenant: int, prefix: str = "") -> UUID | None:
        """Return the endpoint that a body names, or else the default one. Raises InvalidSubmission."""
        if "webhook" not in body.model_fields_set:
            return await self._webhooks.default(tenant)
        option: WebhookOption | None = getattr(body, "webhook")  # noqa: B009 - of several models
        if option is None:
            return None
        return await self._webhooks.check(tenant, option.endpoint_id, f"{prefix}webhook.endpoint_id")

    async def parse_retry_input(self, value: Any, operation: str) -> str | None:
        """Return the new input of a manual retry as JSON text; None: the job keeps its input. Raises like `parse`."""
        if isinstance(value, dict):
            _check_shape(value, self._settings.max_numbers, "")
        try:
            body = _retry_adapter.validate_python(value)
        except ValidationError as error:
            raise validation_problem(error) from error
        if not body.model_fields_set:
            return None
        if len(body.model_fields_set) > 1:
            raise InvalidSubmission("input", "cannot be combined with data")
        return _checked_input(value, await self._operations.get(operation), "")

    def _with_options(
        self, job: NewJob, submission: Submission | InputSubmission, webhook: UUID | None, prefix: str
    ) -> NewJob:
        """Return the job with the options of its submission. Raises InvalidSubmission for one beyond its limit."""
        settings = self._settings
        max_attempts, backoff, metadata = submission.max_attempts or job.max_attempts, submission.backoff, None
        if submission.metadata is not None:
            metadata = _json_text(submission.metadata, f"{prefix}metadata")
            _check_maximum(len(metadata.encode()), settings.max_metadata_bytes, f"{prefix}metadata", "bytes as JSON")
            if has_nul(metadata):
                raise InvalidSubmission(f"{prefix}metadata", "has the character U+0000")
        _check_maximum(submission.max_attempts, settings.max_attempts, f"{prefix}max_attempts")
        _check_maximum(submission.timeout_seconds, settings.max_timeout_seconds, f"{prefix}timeout_seconds", "seconds")
        _check_maximum(submission.keep_seconds, settings.max_keep_days * DAY_S, f"{prefix}keep_seconds", "seconds")
        if backoff is not None:
            limit_s = settings.max_backoff_seconds
            _check_maximum(backoff.base_seconds, limit_s, f"{prefix}backoff.base_seconds", "seconds")
            _check_maximum(backoff.cap_seconds, limit_s, f"{prefix}backoff.cap_seconds", "seconds")
        self._check_times(submission, prefix)
        unique = submission.unique
        if submission.concurrency_key is not None and unique is not None and unique.held_while == "running":
            raise InvalidSubmission(f"{prefix}concurrency_key", "cannot be combined with a unique key while running")
        options = Options(
            run_at=submission.run_at,
            delay_s=submission.delay_seconds,
            deadline=submission.deadline,
            retry_base_s=None if backoff is None else backoff.base_seconds,
            retry_cap_s=None if backoff is None else backoff.cap_seconds,
            keep_s=submission.keep_seconds,
            tags=tuple(dict.fromkeys(submission.tags)),
            metadata=metadata,
            unique=None
            if unique is None
            else Unique(unique.key, HeldWhile(unique.held_while), OnConflict(unique.on_conflict)),
            concurrency_key=submission.concurrency_key,
            webhook=webhook,
        )
        timeout_s = submission.timeout_seconds
        return replace(
            job,
            max_attempts=max_attempts,
            timeout_ms=job.timeout_ms if timeout_s is None else max(1, round(timeout_s * 1000)),
            priority=submission.priority,
            options=None if options == Options() else options,
        )

    def _check_times(self, submission: Submission | InputSubmission, prefix: str) -> None:
        now, max_delay = datetime.now(UTC), timedelta(days=self._settings.max_delay_days)
        if submission.delay_seconds is not None and submission.run_at is not None:
            raise InvalidSubmission(f"{prefix}delay_seconds", "cannot be combined with run_at")
        _check_maximum(submission.delay_seconds, max_delay.total_seconds(), f"{prefix}delay_seconds", "seconds")
        for name, instant in (("run_at", submission.run_at), ("deadline", submission.deadline)):
            if instant is not None and instant > now + max_delay:
                raise InvalidSubmission(prefix + name, f"is more than {self._settings.max_delay_days} days ahead")
        due_at = max(now, submission.run_at or now) + timedelta(seconds=submission.delay_seconds or 0)
        if submission.deadline is not None and submission.deadline <= due_at:
            raise InvalidSubmission(f"{prefix}deadline", "is not after the time from which the job may run")


def _check_shape(value: dict[str, Any], max_numbers: int, prefix: str) -> None:
    """Refuse a submission that would be slow to validate."""
    if isinstance(data := value.get("data"), list) and len(data) > max_numbers:
        raise InvalidSubmission(f"{prefix}data", f"has {len(data)} numbers, more than {max_numbers}")
    if (
        isinstance(input_ := value.get("input"), dict)
        and isinstance(data := input_.get("data"), list)
        and len(data) > max_numbers
    ):
        raise InvalidSubmission(f"{prefix}input.data", f"has {len(data)} numbers, more than {max_numbers}")
    if len(value) > len(_PLAIN_MEMBERS):
        for name in _MODELS:
            if isinstance(part := value.get(name), dict) and len(part) > MAX_ERRORS:
                raise InvalidSubmission(f"{prefix}{name}", f"has {len(part)} members, more than it can have")
    if len(value) > MAX_ERRORS:  # a hundred thousand errors would cost half a second and 100 MB
        unknown = [name for name in value if name not in Submission.model_fields]
        raise field_problem(
            INVALID_BODY,
            [(prefix + name, "Extra inputs are not permitted") for name in unknown[:MAX_ERRORS]],
            len(unknown),
        )


def _checked_input(value: dict[str, Any], operation: CachedOperation, prefix: str) -> str:
    """Return the input of a submission as JSON text. Raises ProblemError if it breaks the operation's schema."""
    if "data" in value:
        text, field, input_ = _numbers_json(value["data"]), prefix.rstrip("."), {"data": value["data"]}
        if operation.takes_numbers:
            return text
    elif "input" in value:
        field, input_ = f"{prefix}input", value["input"]
        text = _json_text(input_, field)
    else:
        if operation.takes_numbers:
            raise field_problem(INVALID_BODY, [(f"{prefix}data", "Field required")], 1)
        text, field, input_ = "{}", f"{prefix}input", {}
    if errors := operation.input_errors(input_, len(text)):
        raise field_problem(
            INVALID_BODY, [(f"{field}.{path}".strip("."), reason) for path, reason in errors], len(errors)
        )
    return text


def _allowed_queue(queue: str, spec: OperationSpec, prefix: str) -> str:
    """Return the queue that a submission names. Raises InvalidSubmission if the operation does not allow it."""
    if queue not in spec.queues:
        raise InvalidSubmission(
            f"{prefix}queue", f"{spec.name} does not allow this queue; it allows {', '.join(spec.queues)}"
        )
    return queue


def check_unique_keys(jobs: Iterable[NewJob], prefix: str = "") -> None:
    """Refuse a batch in which a job wants the unique key of an earlier one. Raises ProblemError, which names both.

    `prefix`: the path of the submissions in the body.

    With `on_conflict: return` the earlier job is returned. Jobs that hold their key only while they run take turns.
    """
    first: dict[str, int] = {}
    errors = []
    for index, job in enumerate(jobs):
        unique = None if job.options is None else job.options.unique
        if unique is None or unique.held_while is HeldWhile.RUNNING:
            continue
        earlier = first.setdefault(unique.key, index)
        if earlier != index and unique.on_conflict is not OnConflict.RETURN:
            errors.append((f"{prefix}{index}.unique.key", f"is also the key of {earlier}"))
    if errors:
        raise field_problem(INVALID_BODY, errors, len(errors))


def initial_state(job: NewJob) -> State:
    """Return the state of a new job: SCHEDULED if it may run only later, else PENDING."""
    options = job.options
    is_scheduled = options is not None and (
        bool(options.delay_s) or (options.run_at is not None and options.run_at > datetime.now(UTC))
    )
    return State.SCHEDULED if is_scheduled else State.PENDING


def _check_maximum(value: float | None, maximum: float, field: str, unit: str = "") -> None:
    if value is not None and value > maximum:
        limit = int(maximum) if maximum == int(maximum) else maximum  # in full: `:g` would write 3.1536e+07
        raise InvalidSubmission(field, f"is more than {limit}{unit and f' {unit}'}")


def _numbers_json(numbers: list[Any]) -> str:
    try:
        return '{"data":%s}' % orjson.dumps(numbers).decode()  # noqa: UP031 - the text has braces
    except TypeError:  # an integer of more than 64 bits
        return '{"data":%s}' % json.dumps(numbers, separators=(",", ":"))  # noqa: UP031 - the text has braces


def _json_text(value: Any, field: str) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        raise InvalidSubmission(field, "has a number that is not finite") from error

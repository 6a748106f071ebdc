"""Run one attempt of a job: call the operation, turn its return value or exception into a result or a failure."""

import json
import math

from common import failpoints
from common.domain.decisions import DEADLINE_EXCEEDED, STOPPED, AttemptOutcome, Failure
from common.domain.errors import Cancelled, PermanentFailure, RetryAfter
from common.domain.job import ClaimedJob
from common.settings import Settings
from worker.operations.registry import Context, InvalidInputError, Operation


def run_attempt(job: ClaimedJob, operation: Operation | None, context: Context, settings: Settings) -> str | Failure:
    """Run an attempt; returns the result as JSON text, or the failure. Never raises an exception of the operation."""
    if job.extras is not None and job.is_past_deadline:
        return DEADLINE_EXCEEDED
    if operation is None:
        return Failure(AttemptOutcome.ERROR, "unknown_operation", f"this worker has no operation {job.operation!r}")
    try:
        failpoints.reach("attempt.before_operation")
        value = operation.run(job.input or "{}", context)
        failpoints.reach("attempt.after_operation")
        return result_json(value, settings)
    except BaseException as error:  # noqa: BLE001 - any exception of user code, even SystemExit, is a failure
        return (
            STOPPED
            if isinstance(error, Cancelled) and context.cancelled
            else failure_of_exception(error, operation, settings)
        )


def result_json(value: object, settings: Settings) -> str | Failure:
    """Return an operation's return value as JSON text, or a failure if too large. Raises ResultNotJsonError."""
    text = repr(value) if type(value) is float and math.isfinite(value) else _json(value)
    size = len(text) if text.isascii() else len(text.encode())
    if size > settings.max_result_bytes:
        return Failure(
            AttemptOutcome.PERMANENT,
            "result_too_large",
            f"the result has {size} bytes, more than {settings.max_result_bytes}",
        )
    return text


def failure_of_exception(error: BaseException, operation: Operation, settings: Settings) -> Failure:
    """Return the failure for an exception of an operation or of the validation of its input."""
    max_characters = settings.max_error_characters
    if isinstance(error, InvalidInputError):
        return Failure(AttemptOutcome.PERMANENT, "invalid_input", printable(str(error), max_characters))
    permanent = isinstance(error, (PermanentFailure, ResultNotJsonError, *operation.permanent))
    retry_after_s = error.seconds if isinstance(error, RetryAfter) else None
    return Failure(
        AttemptOutcome.PERMANENT if permanent else AttemptOutcome.ERROR,
        type(error).__name__,
        _error_text(error, max_characters),
        retry_after_s,
    )


class ResultNotJsonError(TypeError):
    """The operation returned a value that JSON cannot represent."""


def _json(value: object) -> str:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJsonError(f"the operation returned what JSON cannot hold: {error}") from error
    return text


def _error_text(error: BaseException, max_characters: int) -> str:
    try:
        return printable(str(error) or type(error).__name__, max_characters)
    except BaseException:  # noqa: BLE001 - an exception whose __str__ raises
        return type(error).__name__


def printable(text: str, max_characters: int) -> str:
    """Return a text without the characters that PostgreSQL and JSON cannot hold, cut to `max_characters`."""
    clean = text.encode("utf-8", "replace").decode().replace("\x00", "�")
    return clean if len(clean) <= max_characters else clean[: max_characters - 1] + "…"

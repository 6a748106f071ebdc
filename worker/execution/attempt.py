"""Run one attempt of a job: call the operation, turn its return value or exception into a result or a failure."""

import math
from dataclasses import replace

import orjson

from common import failpoints
from common.domain.decisions import DEADLINE_EXCEEDED, STOPPED, AttemptOutcome, Failure
from common.domain.job import ClaimedJob
from common.domain.storable_text import storable
from common.settings import Settings
from jobproc import Cancelled, Context, InvalidInputError, RetryAfter, hooks
from jobproc.results import MAX_DEPTH, check_names_and_depth, encode
from worker.failures.traceback_text import traceback_text
from worker.operations.installed import InstalledOperation


class AttemptFailed(Exception):
    """Raised by a built-in operation that decides itself how its attempt has failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error_text)
        self.failure = failure


def run_attempt(
    job: ClaimedJob, operation: InstalledOperation | None, context: Context, settings: Settings
) -> str | Failure:
    """Run an attempt; returns the result as JSON text, or the failure. Never raises an exception of the operation."""
    if job.extras is not None and job.is_past_deadline:
        return DEADLINE_EXCEEDED
    if operation is None:
        return Failure(AttemptOutcome.ERROR, "unknown_operation", f"this worker has no operation {job.operation!r}")
    try:
        failpoints.reach("attempt.before_operation")
        if hooks.around_attempts:  # a `with` without hooks would take 0.2 µs of the 3 of an attempt
            with hooks.surround(operation.declared, context):
                result = result_json(operation.declared.run(job.input or "{}", context), operation, settings)
        else:
            result = result_json(operation.declared.run(job.input or "{}", context), operation, settings)
        failpoints.reach("attempt.after_operation")
        return result
    except BaseException as error:  # noqa: BLE001 - any exception of user code, even SystemExit, is a failure
        return (
            STOPPED
            if isinstance(error, Cancelled) and context.cancelled
            else failure_of_exception(error, operation, settings)
        )


def result_json(value: object, operation: InstalledOperation, settings: Settings) -> str | Failure:
    """Return an operation's return value as JSON text, or a failure if too large. Raises ResultNotJsonError."""
    if operation.declared.dump is not None:
        value = operation.declared.jsonable(value)
    text = repr(value) if type(value) is float and math.isfinite(value) else _json(value)
    size = len(text) if text.isascii() else len(text.encode())
    if size > settings.max_result_bytes:
        return Failure(
            AttemptOutcome.PERMANENT,
            "result_too_large",
            f"the result has {size} bytes, more than {settings.max_result_bytes}",
        )
    return text


def failure_of_exception(error: BaseException, operation: InstalledOperation, settings: Settings) -> Failure:
    """Return the failure for an exception of an operation or of the validation of its input."""
    max_characters = settings.max_error_characters
    if isinstance(error, AttemptFailed):
        return replace(error.failure, error_text=printable(error.failure.error_text, max_characters))
    if isinstance(error, InvalidInputError):
        return Failure(AttemptOutcome.PERMANENT, "invalid_input", printable(str(error), max_characters))
    permanent = operation.declared.is_permanent(error)
    retry_after_s = error.seconds if isinstance(error, RetryAfter) else None
    return Failure(
        AttemptOutcome.PERMANENT if permanent else AttemptOutcome.ERROR,
        type(error).__name__,
        _error_text(error, max_characters),
        retry_after_s,
        traceback=printable_traceback(error, operation, settings),
    )


def printable_traceback(error: BaseException, operation: InstalledOperation, settings: Settings) -> str | None:
    """Return the traceback of an exception of an operation as text that can be stored, None without one."""
    code = getattr(operation.declared.function, "__code__", None)
    text = traceback_text(error, settings.max_traceback_characters, code and code.co_filename)
    return text and printable(text, settings.max_traceback_characters)


def _json(value: object) -> str:
    text = encode(value)
    if ("{" in text or text.count("[") > MAX_DEPTH) and not _is_plain(value):
        check_names_and_depth(value)
    return text


def _is_plain(value: object) -> bool:
    """Return True if all keys of all dictionaries are texts, so that no two are one name in JSON, and none is deep.

    orjson checks that in a tenth of the time of the encoding. It also refuses large integers, and 255 levels.
    """
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _error_text(error: BaseException, max_characters: int) -> str:
    try:
        return printable(str(error) or type(error).__name__, max_characters)
    except BaseException:  # noqa: BLE001 - an exception whose __str__ raises
        return type(error).__name__


def printable(text: str, max_characters: int) -> str:
    """Return a text without the characters that PostgreSQL and JSON cannot hold, cut to `max_characters`."""
    # Cut first: an exception may have a text of a hundred megabytes.
    clean = storable(text[: max_characters + 1])
    return clean if len(clean) <= max_characters else clean[: max_characters - 1] + "…"

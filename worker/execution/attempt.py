"""Run one attempt of a job: call the operation, turn its return value or exception into a result or a failure."""

import json
import math
from collections.abc import Iterable
from typing import Any, cast

import orjson

from common import failpoints
from common.domain.decisions import DEADLINE_EXCEEDED, STOPPED, AttemptOutcome, Failure
from common.domain.job import ClaimedJob
from common.settings import Settings
from jobproc import Cancelled, Context, InvalidInputError, PermanentFailure, ResultNotJsonError, RetryAfter
from jobproc.results import encode, not_json
from worker.failures.traceback_text import traceback_text
from worker.operations.installed import InstalledOperation

# Of a result. PostgreSQL parses 10,000 levels with its default stack, and takes the statement for too complex beyond.
MAX_DEPTH = 5_000


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
        value = operation.declared.run(job.input or "{}", context)
        failpoints.reach("attempt.after_operation")
        return result_json(value, operation, settings)
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
    if isinstance(error, InvalidInputError):
        return Failure(AttemptOutcome.PERMANENT, "invalid_input", printable(str(error), max_characters))
    permanent = isinstance(error, (PermanentFailure, ResultNotJsonError, *operation.declared.options.permanent))
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
        try:
            _check_names_and_depth(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise not_json(error) from error
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


def _check_names_and_depth(value: object) -> None:
    """Raise ValueError if two keys of a dictionary are one name in JSON, such as 1 and "1", or a value is too deep."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
        parts = [part for container in level for part in _parts(container)]
        level = [part for part in parts if isinstance(part, dict | list | tuple)]


def _parts(container: Any) -> Iterable[object]:
    if not isinstance(container, dict):
        return cast("Iterable[object]", container)
    if len(json.loads(json.dumps(dict.fromkeys(container, 0)))) < len(container):
        raise ValueError('two keys of a dictionary are the same name, such as 1 and "1"')
    return container.values()


def _error_text(error: BaseException, max_characters: int) -> str:
    try:
        return printable(str(error) or type(error).__name__, max_characters)
    except BaseException:  # noqa: BLE001 - an exception whose __str__ raises
        return type(error).__name__


def printable(text: str, max_characters: int) -> str:
    """Return a text without the characters that PostgreSQL and JSON cannot hold, cut to `max_characters`."""
    # Cut first: an exception may have a text of a hundred megabytes.
    clean = text[: max_characters + 1].encode("utf-8", "replace").decode().replace("\x00", "�")
    return clean if len(clean) <= max_characters else clean[: max_characters - 1] + "…"

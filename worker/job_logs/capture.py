"""The lines of operations, by whatever they are logged: `logging`, structlog, `print`.

`logging` is captured where a logger calls its handlers, so neither the handlers nor the levels that a package sets up
for itself take a line away, and its handlers get their lines as before.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from common.settings import Settings
from common.telemetry.logs import LEVELS
from worker.job_logs import attempt_log
from worker.job_logs.attempt_log import passed_on
from worker.job_logs.streams import capture_prints

#: Variables of the log lines of jobproc itself: an operation's line has its own.
_OWN_VARIABLES = ("process", "job_id", "attempt")
#: Loggers of the libraries that the worker itself works with; billiard's is the last.
_LIBRARIES = ("celery", "kombu", "redis", "multiprocessing")


def admit_records(settings: Settings) -> logging.Handler:
    """Let the root logger pass records of operations. To be called in the parent, before packages are imported.

    Outside of operations, libraries log warnings and errors, as in other processes. A level that a package sets itself
    counts. Returns the handler for `keep_libraries`.
    """
    level, lowest = LEVELS[settings.operation_log_level], _lowest_level(settings)
    root = logging.getLogger()
    root.setLevel(min(root.level, level))
    libraries = logging.StreamHandler(sys.stderr)
    for handler in root.handlers:
        libraries.setFormatter(handler.formatter)
        handler.addFilter(lambda record: record.name.partition(".")[0] not in _LIBRARIES)
    for handler in (*root.handlers, libraries):
        handler.addFilter(lambda record: record.levelno >= lowest and not passed_on.get())
    structlog.configure(
        processors=[_structlog_processor(level, LEVELS[settings.log_level]), *structlog.get_config()["processors"]],
        wrapper_class=structlog.make_filtering_bound_logger(min(level, LEVELS[settings.log_level])),
    )
    return libraries


def keep_libraries(settings: Settings, handler: logging.Handler) -> None:
    """Log warnings of the worker's own libraries, whatever a package has made of the root logger and its handlers.

    To be called in the parent, after packages are imported.
    """
    for name in _LIBRARIES:  # Celery's own records, such as two for each doorbell, are not even made
        logger = logging.getLogger(name)
        logger.disabled = False  # as `dictConfig` leaves each logger that it does not name
        logger.setLevel(_lowest_level(settings))
        logger.addHandler(handler)
    logging.getLogger("celery.task").setLevel(LEVELS[settings.operation_log_level])  # operations use these


def _lowest_level(settings: Settings) -> int:
    return max(LEVELS[settings.log_level], logging.WARNING)


def install(settings: Settings) -> None:
    """Capture the lines of operations in this process, from their first one on."""
    level = LEVELS[settings.operation_log_level]
    _capture_records(level)
    _carry_to_threads()
    if level <= logging.INFO:
        capture_prints()


def _capture_records(level: int) -> None:
    call_handlers = logging.Logger.callHandlers

    def capture(logger: logging.Logger, record: logging.LogRecord) -> None:
        log = attempt_log.current()
        if log is None or passed_on.get():
            call_handlers(logger, record)
            return
        if record.levelno >= level:
            log.write(partial(_line_of_record, record))
        if not logger.hasHandlers():  # the handler of last resort would print it once more
            return
        token = passed_on.set(True)
        try:
            call_handlers(logger, record)
        finally:
            passed_on.reset(token)

    logging.Logger.callHandlers = capture  # type: ignore[method-assign,assignment]  # as Sentry's integration does


def _line_of_record(record: logging.LogRecord) -> tuple[str, str, str, str | None]:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments that do not fit, or a __str__ that raises
        text = f"{record.msg!r} cannot be formatted: {type(error).__name__}"
    trace = None
    if record.exc_info and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    if record.stack_info:
        trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
    return _level_name(record.levelno), record.name, text, trace


def _level_name(number: int) -> str:
    if number >= logging.WARNING:
        return "warning" if number < logging.ERROR else "error" if number < logging.CRITICAL else "critical"
    return "info" if number >= logging.INFO else "debug"


def _structlog_processor(level: int, own_level: int) -> structlog.typing.Processor:
    """Return the processor that takes an operation's events out of the worker's own, and drops those below a level."""

    def take(_logger: Any, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        log, number = attempt_log.current(), getattr(logging, method.upper(), logging.INFO)
        if log is None and number >= own_level:
            return event
        if log is not None and number >= level:
            log.write(partial(_line_of_event, method, event))
        raise structlog.DropEvent

    return take


def _line_of_event(method: str, event: structlog.types.EventDict) -> tuple[str, str, str, str | None]:
    bound = {
        name: value for name, value in structlog.contextvars.get_contextvars().items() if name not in _OWN_VARIABLES
    }
    facts = structlog.processors.format_exc_info(None, method, {**bound, **event})
    text, logger, trace = facts.pop("event", ""), facts.pop("logger", "structlog"), facts.pop("exception", None)
    return method, str(logger), " ".join([str(text), *(f"{name}={value!r}" for name, value in facts.items())]), trace


def _carry_to_threads() -> None:
    """Let a thread log as the attempt that has started it, and a call in a pool as the one that has submitted it."""
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_as_attempt(thread: threading.Thread) -> None:
        if (log := attempt_log.current()) is not None:
            with suppress(AttributeError):  # a class of its own, without a place for it
                thread.run = partial(attempt_log.run_thread_as, log, thread.run)  # type: ignore[method-assign]  # of this one
        start(thread)

    def submit_as_attempt(pool: ThreadPoolExecutor, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        if (log := attempt_log.current()) is None:
            return submit(pool, call, *arguments, **named)
        # The pool's threads outlive the attempt, so they are started as no attempt's.
        return attempt_log.run_as(None, submit, pool, partial(attempt_log.run_as, log, call), *arguments, **named)

    threading.Thread.start = start_as_attempt  # type: ignore[method-assign,assignment]  # Python 3.14 has an option for it
    ThreadPoolExecutor.submit = submit_as_attempt  # type: ignore[method-assign,assignment]  # as above

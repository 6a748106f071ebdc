"""Logs: one line an event. The first argument is the event's name, the rest are its facts."""

import logging
import sys
from contextvars import ContextVar
from typing import Any, cast

from common.settings import LogFormat, Settings
from common.telemetry import traces

# structlog imports it wherever it happens to be installed, for tracebacks that are not shown here: 4 MB in every process.
_barred = "rich" not in sys.modules
if _barred:
    sys.modules["rich"] = None  # type: ignore[assignment]  # the way to make an import fail
import structlog  # noqa: E402 - with that in place

if _barred:
    del sys.modules["rich"]

#: Of the request that the API answers; its tasks that serve many requests have none.
request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(settings: Settings, process: str) -> None:
    """Set up the logs of this process; libraries that use `logging` come out in the same form."""
    level = LEVELS[settings.log_level]
    json = settings.log_format is LogFormat.JSON
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if traces.enabled():
        shared.append(traces.log_ids)
    if json:
        shared.append(structlog.processors.format_exc_info)
    last = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _library_event], processor=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries speak when something is wrong
    structlog.contextvars.bind_contextvars(process=process)


def _of_request(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    if found := request_id.get():
        event["request_id"] = found.decode("ascii")
    return event


def _library_event(logger: logging.Logger, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    event["message"] = event.pop("event")
    event["event"] = "library_log"
    event["library"] = event.get("_record").name if event.get("_record") else logger.name  # type: ignore[union-attr]  # set by ProcessorFormatter
    return event


def get(part: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part, such as `api`; its lines carry `part=jobproc.<part>`."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=f"jobproc.{part}"))

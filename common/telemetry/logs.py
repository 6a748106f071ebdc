"""Structured logs: a line is an event. The first argument of a log call is the event's name, the rest are its facts."""

import io
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from common.settings import LogFormat, Settings
from common.telemetry import traces
from common.telemetry.standard_streams import open_closed_streams

# structlog imports `rich` if it is installed, for tracebacks that are not used here: 4 MB in every process.
_hide_rich = "rich" not in sys.modules
if _hide_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]  # makes the import fail
import structlog  # noqa: E402 - after the entry above

if _hide_rich:
    del sys.modules["rich"]

#: Id of the request that the API answers; empty in tasks that serve many requests.
request_id: ContextVar[bytes] = ContextVar("request_id", default=b"")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")  # tracebacks have new lines and tabs
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class _Configuration:
    """The result of `configure`. Packages with operations may configure structlog for their own loggers."""

    process: str
    logger: structlog.typing.FilteringBoundLogger
    processors: Sequence[structlog.typing.Processor]


_configuration: _Configuration | None = None


def configure(settings: Settings, process: str) -> None:
    """Set up the logs of this process. Records of libraries that use `logging` are written in the same form."""
    global _configuration  # noqa: PLW0603 - once a process
    open_closed_streams()
    level = LEVELS[settings.log_level]
    json = settings.log_format is LogFormat.JSON
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if traces.enabled():
        shared.append(traces.log_ids)
    if json:
        shared.append(structlog.processors.format_exc_info)
    renderer: Any = structlog.processors.JSONRenderer() if json else _console_renderer()
    processors, bound_logger = [*shared, renderer], structlog.make_filtering_bound_logger(level)
    structlog.configure(
        processors=processors,
        wrapper_class=bound_logger,
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logger = bound_logger(structlog.WriteLogger(sys.stderr), processors=processors, context={})  # type: ignore[call-arg]  # a protocol without __init__
    _configuration = _Configuration(process, logger, processors)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _library_event], processor=renderer)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))  # of libraries only warnings and errors
    structlog.contextvars.bind_contextvars(process=process)


def _console_renderer() -> Any:
    """Return the renderer of the format `console`, which escapes control characters, so that none rules a terminal."""

    def traceback(stream: Any, exc_info: Any) -> None:
        text = io.StringIO()
        structlog.dev.plain_traceback(text, exc_info)
        stream.write(_escaped(text.getvalue()))

    def render(logger: Any, method: str, event: structlog.types.EventDict) -> Any:
        shown = {name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()}
        return renderer(logger, method, shown)

    renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=traceback)
    return render


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _add_request_id(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    if id_ := request_id.get():
        event["request_id"] = id_.decode("ascii")
    return event


def _library_event(logger: logging.Logger, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    event["message"] = event.pop("event")
    event["event"] = "library_log"
    record = event.get("_record")  # set by ProcessorFormatter
    event["library"] = record.name if record else logger.name
    return event


class _PartLogger:
    """A logger of jobproc. Its first use binds it to what `configure` has set up, whatever packages set up."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __getattr__(self, method: str) -> Any:
        if _configuration is None:
            return getattr(structlog.get_logger(part=self._part), method)
        bound = getattr(_configuration.logger.bind(part=self._part), method)
        setattr(self, method, bound)
        return bound


def get(part: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a part of jobproc, such as `api`. Its lines carry `part=jobproc.<part>`."""
    return cast("structlog.typing.FilteringBoundLogger", _PartLogger(f"jobproc.{part}"))


def rendered(event: str, level: str, facts: Mapping[str, Any]) -> str:
    """Return the line of an event, whatever the level of the log. To be called after `configure`."""
    assert _configuration is not None  # noqa: S101 - as the docstring says
    line: Any = {"event": event, "process": _configuration.process, **facts}
    for processor in _configuration.processors:
        line = processor(None, level, line)
    return str(line)

"""Logs: a line is an event, in the same form for jobproc's own events and those of libraries."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from common.settings import Settings
from common.telemetry import logs

Lines = Callable[[], list[str]]
Configure = Callable[..., Lines]


@pytest.fixture
def configure(bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Configure]:
    """Set up the logs as a process would. Returns a function that returns the lines since its last call."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    bare.setattr(logs, "_configuration", None)

    def configured(**variables: str) -> Lines:
        for name, value in variables.items():
            bare.setenv(name, value)
        logs.configure(Settings(), "test")

        def lines() -> list[str]:
            out, err = capsys.readouterr()
            assert out == ""
            return err.splitlines()

        return lines

    yield configured
    root.handlers[:], root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def only(lines: list[str]) -> dict[str, Any]:
    assert len(lines) == 1
    return dict(json.loads(lines[0]))


def test_an_event_is_one_line_of_json_with_its_facts(configure: Configure) -> None:
    lines = configure()
    before = datetime.now(UTC)
    logs.get("worker").warning("results_fenced", count=2, job_id="some-id")
    entry = only(lines())
    at = datetime.fromisoformat(entry.pop("timestamp"))
    assert timedelta() <= at - before < timedelta(minutes=1)
    assert entry == {
        "event": "results_fenced",
        "count": 2,
        "job_id": "some-id",
        "level": "warning",
        "part": "jobproc.worker",
        "process": "test",
    }


def test_line_breaks_and_control_characters_stay_within_the_line(configure: Configure) -> None:
    lines = configure()
    text = 'a\nb\r\nc\x00\x1b[31m\u2028\x85"\\ \ud800 é'
    logs.get("api").info("odd", text=text)
    assert only(lines())["text"] == text


def test_a_fact_without_a_json_form_is_logged_by_its_repr_and_never_raises(configure: Configure) -> None:
    lines = configure()
    logs.get("api").info("odd", fact={1, 2}, error=ValueError("no"))
    assert only(lines())["error"] == "ValueError('no')"


def test_an_exception_is_part_of_its_line(configure: Configure) -> None:
    lines = configure()
    try:
        raise ZeroDivisionError("by\nzero")
    except ZeroDivisionError:
        logs.get("api").exception("failed")
    entry = only(lines())
    assert entry["level"] == "error"
    assert "Traceback" in entry["exception"]
    assert "by\nzero" in entry["exception"]


def test_a_record_of_a_library_has_the_same_form(configure: Configure) -> None:
    lines = configure()
    logging.getLogger("some.library").warning("lost %s\nof %d", "all", 3)
    entry = only(lines())
    assert entry["event"] == "library_log"
    assert entry["message"] == "lost all\nof 3"
    assert (entry["library"], entry["level"], entry["process"]) == ("some.library", "warning", "test")
    assert "timestamp" in entry


def test_an_exception_of_a_library_is_part_of_its_line(configure: Configure) -> None:
    lines = configure()
    try:
        raise KeyError("k")
    except KeyError:
        logging.getLogger("some.library").exception("it broke")
    entry = only(lines())
    assert entry["message"] == "it broke"
    assert "KeyError: 'k'" in entry["exception"]


def test_of_libraries_only_warnings_and_errors_are_logged(configure: Configure) -> None:
    lines = configure(JOBPROC_LOG_LEVEL="debug")
    logging.getLogger("some.library").info("chatter")
    logs.get("api").debug("detail")
    assert only(lines())["event"] == "detail"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_an_event_below_the_level_is_not_logged(configure: Configure, level: str) -> None:
    lines = configure(JOBPROC_LOG_LEVEL=level)
    log = logs.get("api")
    for name in logs.LEVELS:
        getattr(log, name)("event")
    expected = list(logs.LEVELS)[list(logs.LEVELS).index(level) :]
    assert [json.loads(line)["level"] for line in lines()] == expected


def test_the_console_format_shows_event_facts_and_traceback(configure: Configure) -> None:
    lines = configure(JOBPROC_LOG_FORMAT="console")
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        logs.get("api").exception("failed", job_id="some-id")
    logging.getLogger("some.library").warning("lost")
    console = lines()
    assert "failed" in console[0]
    assert "job_id=some-id" in console[0]
    assert "ZeroDivisionError: by zero" in console
    assert "library_log" in console[-1]
    assert "message=lost" in console[-1]
    assert not any("\x1b" in line for line in console)


def test_rich_is_not_imported_but_an_operation_can_import_it() -> None:
    code = "import sys; import common.telemetry.logs; assert 'rich' not in sys.modules; import rich"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_value_of_a_client_cannot_begin_a_line_or_control_a_terminal(configure: Configure, log_format: str) -> None:
    text = "a\x1b[31mb\rc\nforged\x85d\u2028e\x9b2J\x00"
    lines = configure(JOBPROC_LOG_FORMAT=log_format)
    logs.get("api").warning("job_failed", operation=text, reason="a\x1b[31mb", tags=[text])
    logging.getLogger("library").warning("about %s", text)
    written = lines()
    assert len(written) == 2
    assert all(line.isprintable() for line in written)


def test_the_text_of_an_error_cannot_control_a_terminal(configure: Configure) -> None:
    lines = configure(JOBPROC_LOG_FORMAT="console")
    try:
        raise ValueError("a\x1b[31mb")
    except ValueError as error:
        logs.get("api").error("request_failed", exc_info=error)
    written = lines()
    assert any("ValueError: a\\x1b[31mb" in line for line in written)
    assert all(line.isprintable() for line in written)

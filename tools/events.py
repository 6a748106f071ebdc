"""The log calls in the code: event, level, process and facts of each. Makes the reference of log events."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.telemetry.events import EVENTS
from tools import ROOT

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
SAY = "say"  # the name of a log method that is chosen at run time: `say = log.warning if … else log.info`


@dataclass
class LoggedEvent:
    """An event, from all log calls of it."""

    levels: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)


def log_calls(tree: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
    """Yield event, level and facts of each log call."""
    chosen_levels = {
        level.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.IfExp)
        for level in (node.body, node.orelse)
        if isinstance(level, ast.Attribute)
    }
    for node in ast.walk(tree):
        if not (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            continue
        facts = {keyword.arg for keyword in node.keywords if keyword.arg}
        match node.func:
            case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LEVELS:
                yield node.args[0].value, LEVELS[level], facts
            case ast.Name(id=name) if name == SAY:
                for level in sorted(chosen_levels & set(LEVELS)):
                    yield node.args[0].value, LEVELS[level], facts


def process_of(path: Path) -> str:
    """Return the process that runs a file: the top folder, `controller` or `migrate`."""
    if "controller" in path.parts:
        return "controller"
    return "migrate" if path.name == "migrate.py" else path.relative_to(ROOT).parts[0]


def logged_events() -> dict[str, LoggedEvent]:
    """Return every event that the code logs, by its name."""
    events: dict[str, LoggedEvent] = {
        "library_log": LoggedEvent(
            {"warning", "error"}, {"api", "worker", "controller", "migrate"}, {"library", "message"}
        ),
        "operation_log": LoggedEvent(
            {"debug", "info", "warning", "error", "critical"},
            {"worker"},
            {"attempt", "exception", "job_id", "logger", "message", "operation", "queue", "trace_id"},
        ),
    }
    for path in sorted(file for folder in ("api", "worker", "common") for file in (ROOT / folder).rglob("*.py")):
        for name, level, facts in log_calls(ast.parse(path.read_text())):
            event = events.setdefault(name, LoggedEvent())
            event.levels.add(level)
            event.processes.add(process_of(path))
            event.facts |= facts
    return events


def reference() -> str:
    """Return the table of events. Raises ValueError for an event that is not declared, or declared and never logged."""
    events = logged_events()
    if differing := set(events) ^ set(EVENTS):
        raise ValueError(f"common/telemetry/events.py and the code differ in {', '.join(sorted(differing))}")
    rows = ["| event | level | process | facts | meaning |", "|---|---|---|---|---|"]
    for name, event in sorted(events.items()):
        levels, processes = ", ".join(sorted(event.levels)), ", ".join(sorted(event.processes))
        facts = ", ".join(f"`{fact}`" for fact in sorted(event.facts))
        rows.append(f"| `{name}` | {levels} | {processes} | {facts} | {EVENTS[name]} |")
    return "\n".join(rows) + "\n"

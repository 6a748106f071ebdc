"""The log calls in the code: which event, at which level, of which part, with which facts."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.telemetry.events import EVENTS

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
SAY = "say"  # a level that is chosen at run time


@dataclass
class Found:
    """An event as the code logs it."""

    levels: set[str] = field(default_factory=set)
    parts: set[str] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)


def calls(tree: ast.AST) -> Iterator[tuple[str, str, set[str]]]:
    """Yield event, level and facts of each log call."""
    chosen = {level.attr for node in ast.walk(tree) if isinstance(node, ast.IfExp) for level in (node.body, node.orelse) if isinstance(level, ast.Attribute)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)):
            continue
        facts = {keyword.arg for keyword in node.keywords if keyword.arg}
        match node.func:
            case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LEVELS:
                yield node.args[0].value, LEVELS[level], facts
            case ast.Name(id=name) if name == SAY:
                for level in sorted(chosen & set(LEVELS)):
                    yield node.args[0].value, LEVELS[level], facts


def part(path: Path) -> str:
    """Return the part of jobproc that a file belongs to."""
    if "controller" in path.parts:
        return "controller"
    return "migrate" if path.name == "migrate.py" else path.relative_to(ROOT).parts[0]


def found() -> dict[str, Found]:
    """Return every event of the code by its name."""
    events: dict[str, Found] = {"library_log": Found({"warning", "error"}, {"api", "worker", "controller", "migrate"}, {"library", "message"})}
    for path in sorted(file for folder in ("api", "worker", "common") for file in (ROOT / folder).rglob("*.py")):
        for event, level, facts in calls(ast.parse(path.read_text())):
            one = events.setdefault(event, Found())
            one.levels.add(level)
            one.parts.add(part(path))
            one.facts |= facts
    return events


def reference() -> str:
    """Return the table of events. Raises ValueError for one that is not declared, or declared and never logged."""
    events = found()
    if wrong := set(events) ^ set(EVENTS):
        raise ValueError(f"common/telemetry/events.py and the code differ in {', '.join(sorted(wrong))}")
    rows = ["| event | level | of | facts | meaning |", "|---|---|---|---|---|"]
    for event in sorted(events):
        one = events[event]
        facts = ", ".join(f"`{fact}`" for fact in sorted(one.facts))
        rows.append(f"| `{event}` | {', '.join(sorted(one.levels))} | {', '.join(sorted(one.parts))} | {facts} | {EVENTS[event]} |")
    return "\n".join(rows) + "\n"

"""Columns of tables: the text of a member of an object, on a terminal or in a pipe."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

NONE = "-"
COLOURS = {
    "SUCCESS": "green",
    "SUCCEEDED": "green",
    "DONE": "green",
    "FAILED": "red",
    "RETRYING": "yellow",
    "CANCELLED": "bright_black",
    "IN_PROGRESS": "cyan",
    "RUNNING": "cyan",
}
UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


class Column(NamedTuple):
    """A column: its title, and the member that it shows, such as `error.type`."""

    title: str
    member: str


def columns(*members: str, **titles: str) -> list[Column]:
    """Return columns of members; the title is the last part of the name, or the one that is given."""
    return [Column(titles.get(name) or name.rpartition(".")[2].removesuffix("_at").upper(), name) for name in members]


def member_of(thing: Mapping[str, Any], path: str) -> Any:
    """Return a member, or None if there is none."""
    value: Any = thing
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text_of(value: Any, *, now: datetime | None = None) -> str:
    """Return a value as a cell. `now`: times are told as distances from it."""
    if value is None or value in ("", [], {}):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return plain(distance(value, now) if now else value)
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ", ".join(text_of(item) for item in value)
    return plain(json.dumps(value, ensure_ascii=False))


def plain(text: str) -> str:
    """Return a text in which nothing controls a terminal: texts of jobs may have escape sequences."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def distance(text: str, now: datetime) -> str:
    """Return a time as its distance from now; another text stays as it is."""
    try:
        seconds = (datetime.fromisoformat(text) - now).total_seconds()
    except (ValueError, TypeError):
        return text
    length = abs(seconds)
    amount = next((f"{length / size:.0f} {unit}" for size, unit in UNITS if length >= size), f"{length:.0f} s")
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def is_time(member: str) -> bool:
    """Return True if a member is a time, by its name."""
    return member.endswith(("_at", "_since", "_until", "deadline"))

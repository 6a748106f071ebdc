"""The filters of lists and bulk actions, under the names of the API."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
STATES = ("SCHEDULED", "BLOCKED", "PENDING", "IN_PROGRESS", "RETRYING", "SUCCESS", "FAILED", "CANCELLED")


class Instant(click.ParamType[str]):
    """A time of RFC 3339, or its distance from now, such as 15m, 2h or 7d."""

    name = "time"

    def __init__(self, *, is_past: bool) -> None:
        """`is_past`: a distance is how long ago the time was, else in how long it will be."""
        self._sign = -1 if is_past else 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the time as text."""
        if found := re.fullmatch(r"(\d+)([smhd])", value):
            distance = timedelta(seconds=self._sign * int(found[1]) * UNITS[found[2]])
            return (datetime.now(UTC) + distance).isoformat(timespec="milliseconds")
        try:
            made = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"a time such as 2026-01-31T08:00:00Z is expected, or 2h, not {value!r}", param, ctx)
        if made.tzinfo is None:
            self.fail(f"{value!r} needs a time zone, such as {value}Z", param, ctx)
        return str(value)


class States(click.ParamType[list[str]]):
    """States of jobs, separated by commas."""

    name = "states"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the states."""
        names = [name.strip().upper() for name in value.split(",")]
        if unknown := [name for name in names if name not in STATES]:
            self.fail(f"{', '.join(unknown)}: one of {', '.join(STATES)} is expected", param, ctx)
        return names


FILTERS: tuple[tuple[str, Any, str], ...] = (
    ("status", States(), "States, separated by commas."),
    ("operation", str, "The operation."),
    ("queue", str, "The queue."),
    ("tag", str, "One of the tags."),
    ("batch", str, "The id of a batch or a workflow."),
    ("created_after", Instant(is_past=True), "Created at or after a time, or 2h ago."),
    ("created_before", Instant(is_past=True), "Created before a time, or 2h ago."),
    ("finished_after", Instant(is_past=True), "Finished at or after a time, or 2h ago."),
    ("finished_before", Instant(is_past=True), "Finished before a time, or 2h ago."),
    ("error", str, "A part of the type or the text of the error."),
    ("error_group", str, "The id of an error group, from `errors list`."),
)
#: Filters that may be given several times.
VALUES: tuple[tuple[str, str], ...] = (
    ("input", "A value in the input, such as order.id=7; may be repeated."),
    ("metadata", "A value in the metadata, such as customer=4711; may be repeated."),
)


def filters(function: F) -> F:
    """Give a command the options of the filters."""
    for name, text in reversed(VALUES):
        option = click.option(f"--has-{name}", metavar="PATH=VALUE", multiple=True, help=text)
        function = option(function)
    for name, kind, text in reversed(FILTERS):
        function = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(function)
    return function


def chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Take the filters that are given out of the options of a command."""
    named = {name: options.pop(name, None) for name, _, _ in FILTERS}
    named |= {name: list(options.pop(f"has_{name}", None) or ()) or None for name, _ in VALUES}
    return {name: value for name, value in named.items() if value is not None}

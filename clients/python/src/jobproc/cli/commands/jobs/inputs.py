"""Inputs of jobs as arguments: JSON, `@file`, or lines on stdin."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobproc.cli.invocation import usage

STDIN = "-"


def value_of(text: str, name: str) -> Any:
    """Return the JSON value of an argument: the text itself, or the file that it names with `@`."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = sys.stdin.read() if text == "@-" else path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            usage(f"{name}: {path} cannot be read: {error}")
        name = f"{name}: {path}"
    try:
        return json.loads(text)
    except ValueError as error:
        usage(f"{name}: JSON is expected, such as '{{\"data\": [1]}}', or @file: {error}")


def lines_of_stdin() -> Iterator[Any]:
    """Yield the JSON value of each line of stdin."""
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                usage(f"line {number} of the input: a JSON value is expected: {error}")


def fields_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return arguments of the form `name=value`; a value that is JSON is read as such, `@file` is read."""
    made: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not (name and sign):
            usage(f"name=value is expected, not {pair!r}")
        if text.startswith("@"):
            made[name] = value_of(text, name)
            continue
        try:
            made[name] = json.loads(text)
        except ValueError:
            made[name] = text
    return made

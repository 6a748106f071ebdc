"""Writing of lists and objects to stdout."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from jobproc.cli.invocation import JSONPATH, usage
from jobproc.cli.output.columns import COLOURS, Column, is_time, member_of, plain, text_of

if TYPE_CHECKING:
    from jobproc.cli.invocation import Invocation

MEASURED_ROWS = 200  # of a table; a longer one is written as it comes, in the widths of these
GAP = "  "
Thing = Mapping[str, Any]


def write_list(invocation: "Invocation", items: Iterable[Thing], columns: list[Column], key: str) -> None:
    """Write items as they come."""
    match invocation.format:
        case "table":
            lines: Iterator[str] = table(invocation, items, columns)
        case "id":
            lines = (str(item[key]) for item in items)
        case "ndjson":
            lines = map(compact, items)
        case path if path.startswith(JSONPATH):
            lines = chain.from_iterable(map(finder(path), items))
        case other:
            write_text(PRINTED[other](list(items)))
            return
    for line in lines:
        write_text(line)


def write_object(invocation: "Invocation", thing: Thing, key: str) -> None:
    """Write an object."""
    if invocation.format == "id":
        write_text(str(thing[key]))
    elif invocation.format == "table":
        write_text("\n".join(record(invocation, thing)))
    else:
        write_value(invocation, thing)


def write_value(invocation: "Invocation", value: Any) -> None:
    """Write any JSON value; as a table it is indented JSON."""
    if invocation.format.startswith(JSONPATH):
        for line in finder(invocation.format)(value):
            write_text(line)
        return
    write_text(PRINTED.get(invocation.format, compact)(value))


def write_text(text: str) -> None:
    """Write a line."""
    sys.stdout.write(text + "\n")


def compact(value: Any) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def indented(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def yaml(value: Any) -> str:
    """Return a value as YAML."""
    import yaml as library  # type: ignore[import-untyped]  # PyYAML has no types

    plain_value = json.loads(json.dumps(value))  # views are dictionaries of a class of their own
    text: str = library.safe_dump(plain_value, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n").removesuffix("\n...")


def finder(form: str) -> Callable[[Any], Iterator[str]]:
    """Return a function that yields what a JSONPath (RFC 9535) finds in a value: texts as they are, else JSON."""
    import jsonpath

    text = form.removeprefix(JSONPATH)
    try:
        path = jsonpath.compile(text if text.startswith("$") else f"$.{text.lstrip('.')}")
    except jsonpath.JSONPathError as error:
        usage(f"-o {form}: {error}")

    def find(value: Any) -> Iterator[str]:
        return (found if isinstance(found, str) else compact(found) for found in path.findall(value))

    return find


PRINTED: dict[str, Callable[[Any], str]] = {"json": indented, "yaml": yaml, "table": indented}


def table(invocation: "Invocation", items: Iterable[Thing], columns: list[Column]) -> Iterator[str]:
    """Yield the lines of a table. On a terminal times are distances, and lines end at its edge."""
    now = invocation.now() if invocation.is_terminal else None
    edge = shutil.get_terminal_size().columns if invocation.is_terminal else None
    rows = (
        [text_of(member_of(item, column.member), now=now if is_time(column.member) else None) for column in columns]
        for item in items
    )
    first = list(islice(rows, MEASURED_ROWS))
    titles = [column.title for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *first, strict=True)]
    for cells in chain([titles], first, rows):
        padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
        line = GAP.join(padded).rstrip()[:edge]
        yield _coloured(line, cells) if invocation.has_colors else line


def _coloured(line: str, cells: list[str]) -> str:
    state = next((cell for cell in cells if cell in COLOURS), None)
    return line.replace(state, click.style(state, fg=COLOURS[state]), 1) if state else line


def record(invocation: "Invocation", thing: Thing) -> Iterator[str]:
    """Yield an object as lines of a name and a value."""
    now = invocation.now() if invocation.is_terminal else None
    shown = {name: value for name, value in thing.items() if name != "links" and value is not None}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield f"{name}:"
            yield from (f"  {plain(compact(item))}" for item in value)
        elif isinstance(value, str) and "\n" in value:
            yield f"{name}:"
            yield from (f"  {plain(line)}" for line in value.splitlines())
        elif isinstance(value, Mapping) and isinstance(value.get("traceback"), str):
            yield f"{name:<{width}}  {plain(str(value.get('type')))}: {plain(str(value.get('text')))}"
            yield from (f"  {plain(line)}" for line in value["traceback"].splitlines())
        else:
            text = text_of(value, now=now if is_time(name) else None)
            is_state = invocation.has_colors and text in COLOURS
            yield f"{name:<{width}}  {click.style(text, fg=COLOURS[text]) if is_state else text}"

"""An invocation of the command line: its connection, and its output."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from jobproc.cli.connection import Connection
    from jobproc.cli.output.columns import Column

FORMATS = ("table", "json", "ndjson", "yaml", "id")
JSONPATH = "jsonpath="  #: and the path: a form of the output, too


class Invocation:
    """The options that all commands have, and what follows from them."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.goes_on = ""  #: what goes on in the server if this process is interrupted
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @cached_property
    def client(self) -> "Connection":
        """The client of the API."""
        from jobproc.cli.connection import Connection

        return Connection(**self.arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the client that the options name."""
        names = {"profile": "profile", "url": "url", "request_timeout": "timeout_s"}
        return {names[option]: value for option, value in self.options.items() if option in names}

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()

    # --- output

    @property
    def is_terminal(self) -> bool:
        """True if the output is read on a terminal."""
        return sys.stdout.isatty()

    @property
    def format(self) -> str:
        """The form of the output: on a terminal a table, else JSON, an object a line."""
        return str(self.options.get("output") or ("table" if self.is_terminal else "ndjson"))

    @property
    def has_colors(self) -> bool:
        """True if the output has colours."""
        return self.is_terminal and not self.options.get("no_color") and not os.environ.get("NO_COLOR")

    def write_list(self, items: Iterable[Mapping[str, Any]], columns: "Iterable[Column]", key: str) -> None:
        """Write items as they come. `key`: the member that is their id."""
        from jobproc.cli.output.writing import write_list

        write_list(self, items, list(columns), key)

    def write(self, thing: Mapping[str, Any], key: str) -> None:
        """Write an object. `key`: the member that is its id."""
        from jobproc.cli.output.writing import write_object

        write_object(self, thing, key)

    def stream(self, thing: Mapping[str, Any], key: str) -> None:
        """Write an object of a stream at once: on a line of its own, whatever the form."""
        from jobproc.cli.output.writing import compact, write_text

        write_text(str(thing[key]) if self.format == "id" else compact(thing))
        sys.stdout.flush()

    def write_value(self, value: Any) -> None:
        """Write any JSON value."""
        from jobproc.cli.output.writing import write_value

        write_value(self, value)

    def say(self, text: str) -> None:
        """Write a sentence on stderr."""
        click.echo(text, err=True)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask on the terminal. Raises UsageError where nobody can be asked."""
        if yes:
            return True
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked, as the input is no terminal: --yes is expected")
        return click.confirm(question, err=True)


def usage(text: str) -> NoReturn:
    """Refuse the arguments of a command."""
    raise click.UsageError(text)

"""Commands with the options that all have, and groups that import a command when it is called."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from jobproc.cli.invocation import FORMATS, JSONPATH, Invocation


class Place(NamedTuple):
    """The place of a command, and its line in the list of commands."""

    module: str  #: in `jobproc.cli.commands`; the command is called `command` there, or as `name` says
    name: str
    help: str


class Format(click.Choice[str]):
    """A form of the output: one of a list, or a JSONPath."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the form."""
        return str(value) if str(value).startswith(JSONPATH) else super().convert(value, param, ctx)


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    invocation = context.find_root().ensure_object(Invocation)
    if value is not None and parameter.name and value is not False:
        invocation.options[parameter.name] = value


def common_options() -> list[click.Parameter]:
    """Return the options of the connection and of the output, which each command has."""

    def option(*names: str, **facts: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_store, **facts)

    return [
        option("-o", "--output", type=Format(FORMATS), help="The form of the output; also jsonpath=$.a.b[0]."),
        option("--no-color", is_flag=True, help="No colours, as with NO_COLOR."),
        option("--profile", metavar="NAME", help="The profile of the connection."),
        option("--url", metavar="URL", help="The base URL of the API."),
        option("--request-timeout", type=float, metavar="SECONDS", help="Time limit of a request that does not wait."),
    ]


class Command(click.Command):
    """A command with the options that all have."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.params += common_options()


class Group(click.Group):
    """A group of commands that stand in one module."""

    command_class = Command


class LazyGroup(click.Group):
    """The group of all commands; each is imported when it is called, for the list of them none is."""

    def __init__(self, *args: Any, places: Mapping[str, Place], **named: Any) -> None:
        super().__init__(*args, **named)
        self.places = places
        self.params += common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of the interface
        """Return the names of the commands."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import a command."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        found: click.Command = getattr(import_module(f"jobproc.cli.commands.{place.module}"), place.name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in self.places.items()])


def pass_invocation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the invocation as its first argument."""
    return click.pass_obj(function)


def command(name: str, **facts: Any) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a command of a function."""
    return click.command(name, cls=Command, **facts)

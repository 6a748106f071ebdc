"""The reference of the command line, from its commands."""

import re
from collections.abc import Iterator

import click

from jobproc.cli.__main__ import commands
from jobproc.cli.groups import common_options

NOTE = (
    "Options that every command has are in the first table; the [guide](../howto/command-line.md) has examples, and\n"
    "the exit codes.\n\n"
)


def reference() -> str:
    """Return the reference."""
    group = commands()
    context = click.Context(group, info_name="jobproc")
    parts = ["# Command line\n", NOTE + table(common_options(), context)]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            parts += section(command, click.Context(command, info_name=name, parent=context), "##")
    return "\n".join(parts)


def section(command: click.Command, context: click.Context, heading: str) -> Iterator[str]:
    """Yield the text of a command, and of those in its group."""
    yield f"{heading} {context.command_path}\n"
    yield f"{cell(command.help or '').replace(chr(10), ' ')}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.commands[name]
            yield from section(below, click.Context(below, info_name=name, parent=context), f"{heading}#")
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```\n"
    common = {option.name for option in common_options()}
    own = [option for option in command.params if isinstance(option, click.Option) and option.name not in common]
    if own:
        yield table(own, context)


def table(options: list[click.Option] | list[click.Parameter], context: click.Context) -> str:
    """Return options as a table."""
    rows = ["| option | meaning |", "|---|---|"]
    records = [record for option in options if (record := option.get_help_record(context))]
    rows += [f"| `{cell(names)}` | {cell(meaning)} |" for names, meaning in records]
    return "\n".join(rows) + "\n"


def cell(text: str) -> str:
    """Return a text in which nothing ends a cell or begins a tag."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")

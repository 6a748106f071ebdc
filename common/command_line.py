"""The command line of every `python -m …`: `--help` has its arguments and the settings that it reads.

Imports the standard library alone, so that a probe which runs each second starts at once.
"""

import argparse
from collections.abc import Iterable
from typing import NamedTuple


class Variable(NamedTuple):
    """A variable of the environment that a process reads."""

    name: str
    default: str  #: empty: none
    meaning: str


def command_line(
    module: str, description: str | None, variables: Iterable[Variable] = (), *, add_help: bool = True
) -> argparse.ArgumentParser:
    """Return the parser of `python -m module`. It ends the process with usage and exit code 2 for what it lacks.

    `variables`: the settings that the module reads; --help shows the first sentence of each. `add_help` False: the
    caller handles --help.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=_settings(variables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )


def _settings(variables: Iterable[Variable]) -> str | None:
    lines = [
        f"  {variable.name}{f' (default: {variable.default})' if variable.default else ''}\n"
        f"      {variable.meaning.partition('. ')[0].rstrip('.')}."
        for variable in variables
    ]
    if not lines:
        return None
    return "\n".join(["settings, from the environment or a file .env (docs/reference/settings.md):", *lines])

"""`make operation`: writes a package with an operation, its test, and what an image and a cluster need.

The files are those of `operation_template`, with the name of the package in place of `acme`.
"""

import keyword
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from common.command_line import command_line
from tools import ROOT

TEMPLATE = Path(__file__).resolve().parent / "operation_template"
NAME_IN_TEMPLATE = "acme"
PLACE_IN_TEMPLATE = "PLACE"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
OF_JOBPROC = {"api", "common", "jobproc", "tests", "tools", "worker"}


class OperationError(Exception):
    """The package cannot be written; the message is the one sentence to print."""


def check_name(name: str) -> None:
    """Raise OperationError if a name cannot be that of a package, an operation and a queue."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise OperationError(
            f"NAME={name!r} cannot be the name of a Python package: a letter of a-z, then up to 39 of a-z 0-9 _, and "
            "no keyword (`make operation NAME=acme`)"
        )
    if name in OF_JOBPROC or name in sys.stdlib_module_names or find_spec(name) is not None:
        raise OperationError(f"NAME={name!r} is the name of a module that the environment has already: take another")


def write_package(name: str, place: Path) -> list[Path]:
    """Write the package into a folder, and return its files. Raises OperationError."""
    check_name(name)
    place = place.expanduser().resolve()
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise OperationError(f"{place} exists and is not an empty folder: name another one with PLACE=…")
        return [_write(source, name, place) for source in sorted(TEMPLATE.rglob("*")) if _belongs(source)]
    except OSError as error:
        raise OperationError(f"{place} cannot be written: {error.strerror}") from error


def _belongs(source: Path) -> bool:
    return source.is_file() and not {"__pycache__", ".pytest_cache"}.intersection(source.parts)


def _write(source: Path, name: str, place: Path) -> Path:
    file = place / source.relative_to(TEMPLATE).as_posix().replace(NAME_IN_TEMPLATE, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_text().replace(NAME_IN_TEMPLATE, name).replace(PLACE_IN_TEMPLATE, os.path.relpath(place, ROOT))
    file.write_text(text)
    return file


def main() -> int:
    """Write the package and say how to use it. Return the exit code."""
    parser = command_line("tools.operation", __doc__)
    parser.add_argument("--name", required=True, help="name of the package, of its queue, and first part of operations")
    parser.add_argument("--place", required=True, type=Path, help="folder that is to have the package")
    arguments = parser.parse_args()
    try:
        files = write_package(arguments.name, arguments.place)
    except OperationError as error:
        print(f"operation: {error}", file=sys.stderr)
        return 1
    place = os.path.relpath(arguments.place.expanduser().resolve())
    print("\n".join(f"  {os.path.relpath(file)}" for file in files))
    print(f"\n  .venv/bin/python -m pytest {place}    # its test\n  make run OPERATIONS={place}    # run it")
    return 0


if __name__ == "__main__":
    sys.exit(main())

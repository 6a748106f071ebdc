"""The settings that --help of a process shows: all that its code reads."""

import ast
from collections.abc import Iterator

import pytest
from rig.project_files import files

from common.command_line import Variable, command_line
from common.settings import Settings, all_variables, name_of, variables_of


def fields_read(folder: str, outside: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the settings that the code of a folder reads, as `settings.x` or `self._settings.x`."""
    for path in files(folder, outside=outside, ending=".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in Settings.model_fields
                and ast.unparse(node.value).endswith("settings")
            ):
                yield node.attr


@pytest.mark.parametrize(
    ("process", "folder", "outside"),
    [("api", "api", ()), ("worker", "worker", ("worker/controller/",)), ("controller", "worker/controller", ())],
)
def test_help_shows_every_setting_that_the_process_reads(process: str, folder: str, outside: tuple[str, ...]) -> None:
    read = {name_of(field) for field in fields_read(folder, outside)}
    assert len(read) > 5
    assert read - {variable.name for variable in variables_of(process)} == set()


def test_every_setting_is_shown_by_some_process() -> None:
    shown = {variable for process in ("api", "worker", "controller", "migrate") for variable in variables_of(process)}
    assert shown == set(all_variables())


def test_help_has_the_first_sentence_of_a_setting_and_its_default() -> None:
    variables = [Variable("JOBPROC_A", "3", "Time in seconds. Long enough."), Variable("JOBPROC_B", "", "A name")]
    text = command_line("thing", "Does it.", variables).format_help()
    assert "  JOBPROC_A (default: 3)\n      Time in seconds.\n  JOBPROC_B\n      A name.\n" in text

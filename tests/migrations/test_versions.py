"""The files of the migrations."""

import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

import common.migrations
from common.migrate import alembic_config
from common.migrations import head

SCRIPTS = ScriptDirectory.from_config(alembic_config())
VERSIONS = sorted((Path(common.migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def test_the_head_that_is_told_is_alembics_only_head() -> None:
    assert SCRIPTS.get_heads() == [head()]


def test_every_version_follows_the_one_before_and_its_file_begins_with_its_number() -> None:
    walked = list(SCRIPTS.walk_revisions())[::-1]
    assert [Path(version.path).name.partition("_")[0] for version in walked] == [version.revision for version in walked]
    assert [version.revision for version in walked] == [f"{number:04}" for number in range(1, len(walked) + 1)]
    assert [version.down_revision for version in walked] == [None, *(version.revision for version in walked[:-1])]
    assert [Path(version.path) for version in walked] == VERSIONS


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_every_version_says_in_which_phase_of_a_roll_out_it_is_safe(path: Path) -> None:
    phases = re.findall(r"^phase: (.*)$", path.read_text(), re.MULTILINE)
    assert len(phases) == 1
    assert phases[0] in {"expand", "contract"}

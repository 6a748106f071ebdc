"""Files of the migrations: their order, names and phases."""

import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

import common.migrations
from common.migrate import alembic_config
from common.migrations import head

SCRIPTS = ScriptDirectory.from_config(alembic_config())
VERSIONS = sorted((Path(common.migrations.__file__).parent / "versions").glob("[0-9]*.py"))


def test_head_returns_alembics_only_head() -> None:
    assert SCRIPTS.get_heads() == [head()]


def test_every_revision_follows_its_predecessor_and_its_file_begins_with_its_number() -> None:
    scripts = list(SCRIPTS.walk_revisions())[::-1]
    assert [Path(script.path).name.partition("_")[0] for script in scripts] == [script.revision for script in scripts]
    assert [script.revision for script in scripts] == [f"{number:04}" for number in range(1, len(scripts) + 1)]
    assert [script.down_revision for script in scripts] == [None, *(script.revision for script in scripts[:-1])]
    assert [Path(script.path) for script in scripts] == VERSIONS


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_every_migration_names_the_phase_of_a_roll_out_in_which_it_is_safe(path: Path) -> None:
    phases = re.findall(r"^phase: (.*)$", path.read_text(), re.MULTILINE)
    assert len(phases) == 1
    assert phases[0] in {"expand", "contract"}

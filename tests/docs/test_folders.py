"""Folders: each of the product is small and introduces itself, each of the tests has a row in tests/README.md."""

import ast
import re
from pathlib import Path

import pytest
from rig.project_files import PRODUCT, ROOT, files

MAX_MODULES = 12


def packages() -> list[Path]:
    return sorted({path.parent for path in files(*PRODUCT, ending=".py")})


@pytest.mark.parametrize("folder", packages(), ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_of_the_product_is_small_and_introduces_itself(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MAX_MODULES
    if len(modules) > 1 and folder.name not in {"versions", "migrations"}:
        introduction = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        assert re.search(r"[Ss]tart at|start here", introduction)
        assert re.search(r"Imports?\s+(nothing|neither|no|only|`|\w+ alone)", introduction)


def test_each_folder_of_the_tests_has_a_row() -> None:
    rows = re.findall(r"^\| `([\w/]+)/`", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE)
    top = {path.parent for path in (ROOT / "tests").glob("*/*.py")}
    integration = {path.parent for path in (ROOT / "tests" / "integration").glob("*/test_*.py")}
    folders = {path.relative_to(ROOT / "tests").as_posix() for path in (top | integration)} - {"integration"}
    assert set(rows) == folders | {"unit"}

"""ARCHITECTURE.md: each `file:function` that it names exists, and its link leads to that file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"\[([\w/]+\.py):([\w.]+)\]\(([^)]+)\)")


def places() -> list[tuple[str, str, str]]:
    """Return each named place: file, qualified name, link."""
    return PLACE.findall((ROOT / "ARCHITECTURE.md").read_text())


def names(path: Path) -> set[str]:
    """Return the qualified names of a module's classes, functions and methods."""

    def walk(nodes: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + node.name
                if isinstance(node, ast.ClassDef):
                    yield from walk(node.body, f"{prefix}{node.name}.")

    return set(walk(ast.parse(path.read_text()).body, ""))


@pytest.mark.parametrize(("file", "name", "link"), places())
def test_the_function_is_in_the_file(file: str, name: str, link: str) -> None:
    assert link == file
    assert name in names(ROOT / file)


def test_the_page_begins_with_the_path_of_one_job() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "The path of one job"
    table = text.split("## ")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert all(PLACE.search(row) for row in rows)


def test_a_name_that_is_not_there_is_noticed() -> None:
    found = names(ROOT / "common" / "domain" / "decisions.py")
    assert "decide" in found
    assert "decided" not in found

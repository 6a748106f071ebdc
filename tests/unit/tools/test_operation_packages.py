"""Packages with operations: what `make run` refuses, what `make operation` writes."""

import ast
import sys
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from rig.project_files import ROOT

from tools.operation import TEMPLATE, OperationError, write_package
from tools.run.console import RunError
from tools.run.packages import package_in, reason_of

CHART = ROOT / "charts" / "jobproc"


def folder_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "pyproject.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[project", r"pyproject\.toml: "),
        ("[tool.x]\n", r"the section \[project\] with a name is missing"),
        ('[project]\nname = "acme"\n', r"no entry point names a module with operations, such as "),
        (
            '[project]\nname = "acme"\n[project.entry-points."jobproc.operations"]\n',
            r"no entry point names a module with operations, such as ",
        ),
    ],
)
def test_a_folder_without_operations_is_refused_in_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(RunError, match=reason) as refused:
        package_in(folder_with(tmp_path, text))
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none: a package with a pyproject\.toml is expected there"):
        package_in(tmp_path / "none")


def test_entry_points_that_the_build_computes_are_left_to_it(tmp_path: Path) -> None:
    package = package_in(folder_with(tmp_path, '[project]\nname = "acme"\ndynamic = ["entry-points"]\n'))
    assert package.name == "acme"
    assert package.sources == tmp_path, "it has no folder src"


def test_a_conflict_of_dependencies_is_one_sentence() -> None:
    output = (
        "Using Python 3.11.7 environment at: .venv\nerror: No solution found when resolving dependencies\n"
        "  cause: Because acme==0.1.0 depends on pydantic<2 and pydantic==2.14.4, we can conclude that acme==0.1.0\n"
        "         cannot be used.\n"
    )
    assert reason_of(output) == "acme==0.1.0 depends on pydantic<2 and pydantic==2.14.4"
    assert reason_of("error: Failed to fetch:\n  cause: no network\n") == "Failed to fetch: cause: no network"
    assert reason_of("killed\n") == "killed"


@pytest.mark.parametrize("name", ["", "Acme", "my-ops", "1st", "class", "a b", "../x", "ä", "x" * 41])
def test_a_name_that_no_package_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperationError, match=r"cannot be the name of a Python package"):
        write_package(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["json", "worker", "jobproc", "celery", "tools"])
def test_a_name_that_would_hide_a_module_of_a_worker_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperationError, match="is the name of a module that the environment has already"):
        write_package(name, tmp_path / "new")


def test_only_an_empty_or_new_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place in ("taken", "file"):
        with pytest.raises(OperationError, match=r"exists and is not an empty folder"):
            write_package("orders", tmp_path / place)
    with pytest.raises(OperationError, match="cannot be written: "):
        write_package("orders", tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    assert write_package("orders", tmp_path / "empty")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


def test_the_package_has_its_name_everywhere(tmp_path: Path) -> None:
    files = write_package("my_orders", tmp_path / "package")
    assert len(files) == sum(1 for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert all("acme" not in f"{file}{file.read_text()}" for file in files)
    project = tomllib.loads((tmp_path / "package" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["jobproc.operations"] == {"my_orders": "my_orders.operations"}
    for file in files:
        if file.suffix == ".py":
            ast.parse(file.read_text(), feature_version=(3, 11))
    assert package_in(tmp_path / "package").sources == tmp_path / "package" / "src"


def test_the_values_of_the_package_fit_the_chart(tmp_path: Path) -> None:
    write_package("my_orders", tmp_path / "package")
    own = yaml.safe_load((tmp_path / "package" / "values.yaml").read_text())
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    merged = {
        **chart,
        "images": {**chart["images"], "worker": {**chart["images"]["worker"], **own["images"]["worker"]}},
        "worker": {**chart["worker"], **own["worker"]},
    }
    schema = jsonschema_rs.validator_for((CHART / "values.schema.json").read_text())
    assert own.keys() == {"images", "worker"}
    assert [str(error) for error in schema.iter_errors(merged)] == []
    merged["worker"] = {**merged["worker"], "pools": {"my_orders": {"queues": ["A"]}}}
    assert not schema.is_valid(merged), "the schema would not notice a wrong pool"


def test_the_template_needs_the_python_of_jobproc() -> None:
    ours, theirs = (
        tomllib.loads((folder / "pyproject.toml").read_text())["project"]["requires-python"]
        for folder in (ROOT, TEMPLATE)
    )
    assert ours == theirs
    assert sys.version_info >= (3, 11)

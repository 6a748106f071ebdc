"""The examples of operations in the documentation: they can be imported, and mypy and pyright accept them as strict."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rig.fork_server import ROOT, SDK

#: Pages whose examples are of the client, of Celery and of Django; a test of each, test_howto.py, runs them.
OTHERS = {ROOT / "docs" / "howto" / f"{name}.md" for name in ("python-client", "from-celery", "django")}
PAGES = sorted({*(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").rglob("*.md")} - OTHERS)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / SDK), "MYPYPATH": str(ROOT / SDK)}

MISTAKES = """# pyright: standard
from jobproc import Context, operation

@operation
def bare(path: str, width: int = 200) -> str:
    return path * width

@operation(queue="mail")
async def awaited(path: str, job: Context) -> int:
    job.submit("acme.send", priority="high")  # mistake
    return len(path)

@operation(quue="mail")  # mistake
def misspelt(path: str) -> str:
    return path

bare("a", width=3)
bare(3)  # mistake
bare("a", width="b")  # mistake
number: int = bare("a")  # mistake
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write each example to a module of its own; return the folder."""
    folder = tmp_path_factory.mktemp("examples")
    for page in PAGES:
        for number, block in enumerate(BLOCK.findall(page.read_text())):
            if "from jobproc" in block and "Client(" not in block:
                name = re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())
                (folder / f"{name}_{number}.py").write_text(block)
    (folder / "mistakes.py").write_text(MISTAKES)
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(ROOT / SDK)], "pythonVersion": "3.11"})
    )
    return folder


def check(folder: Path, *command: str) -> str:
    """Run a command in a folder; return its output and exit code."""
    done = subprocess.run(
        [sys.executable, *command] if command[0].startswith("-") else [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return f"{done.stdout}{done.stderr}exit code {done.returncode}"


def test_every_example_can_be_imported(examples: Path) -> None:
    """Each in a process of its own: pages may use one name for their operations."""
    modules = sorted(path.stem for path in examples.glob("*.py") if path.stem != "mistakes")
    assert len(modules) >= 4
    for module in modules:
        assert check(examples, "-c", f"import {module}") == "exit code 0", module


def mypy(folder: Path) -> str:
    return check(folder, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), ".")


def pyright(folder: Path) -> str:
    return check(folder, "basedpyright", "--pythonpath", sys.executable, ".")


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checkers_accept_the_examples_and_find_mistakes_in_calls_of_operations(
    examples: Path, checker: Callable[[Path], str]
) -> None:
    """A decorated function has the type of the plain function."""
    found = checker(examples)
    errors = {(file, int(line)) for file, line in re.findall(r"(\w+)\.py:(\d+):.*error", found)}
    mistakes = {("mistakes", number) for number, line in enumerate(MISTAKES.splitlines(), 1) if "# mistake" in line}
    assert errors == mistakes, found
    assert "warning:" not in found, found

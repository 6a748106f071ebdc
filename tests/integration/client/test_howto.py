"""The examples of docs/howto/python-client.md and of the package's README: they run, and type checkers accept them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rig.system import System

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "clients" / "python" / "src"
PAGE = (ROOT / "docs" / "howto" / "python-client.md").read_text()
README = (ROOT / "clients" / "python" / "README.md").read_text().partition("## Submit jobs")[2]
URL = "http://127.0.0.1:8000"


def script(page: str, url: str = URL) -> str:
    """Return the examples of a page as one program, in their order."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks).replace(URL, url)


def run(program: str, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Write a program as example.py and run a command in its folder."""
    (folder / "example.py").write_text(program)
    env = {"MYPYPATH": str(SDK), "PYTHONPATH": str(SDK), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_examples_run(shared: System, tmp_path: Path) -> None:
    url = str(shared.client.base_url).rstrip("/")
    ran = run(script(PAGE, url), tmp_path, sys.executable, "example.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for expected in (
        "14.0",
        "status SUCCESS None",
        "FieldError(field='priority'",
        "404 No job has this id.",
        "6.0\n10.0\n",
        f"{float(sum(number * number for number in range(2_500)))}\n",
        "'succeeded': 100",
        "SUCCEEDED\nleft SUCCESS\nright SUCCESS\ntotal SUCCESS\n",
        "'alive': True",
    ):
        assert expected in ran.stdout, (expected, ran.stdout)


def test_the_examples_of_the_readme_run(shared: System, tmp_path: Path) -> None:
    assert "from jobproc import" in script(README)
    ran = run(script(README, str(shared.client.base_url).rstrip("/")), tmp_path, sys.executable, "example.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_accept_the_examples(checker: str, tmp_path: Path) -> None:
    program = {
        "mypy": (sys.executable, "-m", "mypy", "--strict"),
        "pyright": (
            str(Path(sys.executable).parent / "basedpyright"),
            "--pythonpath",
            sys.executable,
            "--level",
            "error",
        ),
    }[checker]
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    for page in (PAGE, README):
        found = run(script(page), tmp_path, *program, "example.py")
        assert found.returncode == 0, found.stdout + found.stderr

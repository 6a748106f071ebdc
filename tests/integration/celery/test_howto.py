"""The page docs/howto/from-celery.md: its tasks are installed, its calls run, and its check ends as it says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.celery.support.systems import running
from rig.system import System

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "howto" / "from-celery.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
(CHECK,) = re.findall(r"^python -m (jobproc\.celery check .*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    packages = {"orders": FILES["orders"], "offered": FILES["offered"]}
    folder = tmp_path_factory.mktemp("system")
    (folder / "packages").mkdir()
    (folder / "packages" / "shop_app.py").write_text(FILES["shop_app"])
    with running(folder, worker_id, packages) as system:
        yield system


def run(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a caller, who knows the URL of the API and has the code of the tasks."""
    env = system.env | {"JOBPROC_URL": str(system.client.base_url)}
    return subprocess.run(
        [sys.executable, *arguments],
        env=env,
        cwd=system.folder / "packages",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["calls", "canvas", "routed"])
def test_the_code_of_the_page_runs(system: System, module: str) -> None:
    ended = run(system, "-c", FILES[module])
    assert ended.returncode == 0, ended.stderr


def test_the_check_of_the_page_finds_no_work(system: System) -> None:
    ended = run(system, "-m", *CHECK.split())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("2 tasks: 0 differences need work")


def test_every_block_of_the_page_is_run() -> None:
    assert set(FILES) == {"orders", "calls", "canvas", "shop_app", "offered", "routed"}
    assert PAGE.count("```python") == len(FILES)

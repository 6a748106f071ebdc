"""`jobproc dev` runs everything on this machine, as `make run` does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rig.project_files import ROOT

from jobproc.testing.server import free_port

LIMIT_S = 240


def dev(*arguments: str, repository: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JOBPROC_", "PYTHONPATH"))}
    ours["PYTHONPATH"] = str(ROOT / "clients" / "python" / "src")
    return subprocess.run(
        [sys.executable, "-m", "jobproc.cli", "dev", *arguments],
        env={**ours, "JOBPROC_REPOSITORY": repository},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


@pytest.mark.timeout(LIMIT_S + 20)
def test_everything_is_run_until_the_first_job_has_ended(tmp_path: Path) -> None:
    ended = dev("--once", "--port", str(free_port()), "--folder", str(tmp_path / "data"), repository=str(ROOT))
    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert '"status": "SUCCESS"' in ended.stdout


def test_a_folder_without_the_repository_is_refused_with_a_sentence(tmp_path: Path) -> None:
    ended = dev(repository=str(tmp_path))
    assert ended.returncode == 2
    assert "there is no repository of jobproc" in ended.stderr

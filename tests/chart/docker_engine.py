"""The Docker engine. Tests that need an engine are skipped if none answers."""

import shutil
import subprocess

import pytest
from chart.manifests import ROOT


def docker(*argv: str, limit_s: float = 60) -> str:
    """Run docker in the repository and return its output. Fails with its error output."""
    done = subprocess.run(["docker", *argv], cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"docker {' '.join(argv)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def skip_without_engine() -> None:
    """Skip the test if no Docker engine answers."""
    if not shutil.which("docker"):
        pytest.skip("no Docker engine: docker is not installed")
    version = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    if version.returncode:
        pytest.skip(f"no Docker engine: {version.stderr.strip()}")

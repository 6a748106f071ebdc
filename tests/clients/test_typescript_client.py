"""A TypeScript client with types from openapi-typescript: generated without a flag or warning, and type-checked."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rig.fork_server import ROOT
from rig.system import System

SOURCES = Path(__file__).parent / "typescript"
MIN_CALLS = 20
pytestmark = pytest.mark.needs("npm")


def run(folder: Path, *argv: str) -> str:
    """Run a program, which must end well; return its output."""
    process = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Install what package-lock.json pins; return the folder."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm and node are not installed")
    folder = tmp_path / "client"
    shutil.copytree(SOURCES, folder)
    argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install the generator: {installed.stderr[-500:]}")
    return folder


def test_generated_types_describe_what_the_api_takes_and_sends(project: Path, system: System) -> None:
    document = str(ROOT / "docs" / "reference" / "openapi.json")
    output = run(project, "node_modules/.bin/openapi-typescript", document, "-o", "schema.d.ts")
    assert "warn" not in output.lower(), output
    run(project, "node_modules/.bin/tsc")
    system.all()
    calls = re.fullmatch(r"(\d+) calls\n", run(project, "node", "calls.js", str(system.client.base_url)))
    assert calls is not None
    assert int(calls[1]) >= MIN_CALLS

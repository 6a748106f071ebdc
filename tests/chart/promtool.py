"""promtool, Prometheus' own checker. Where it is not installed its tests are skipped, and say so."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return its output; a failure fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on the PATH")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check(folder: Path, rules: list[dict[str, str]]) -> None:
    """Check rules that are in no file yet."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "made", "rules": rules}]}))
    promtool("check", "rules", file)

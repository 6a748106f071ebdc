"""promtool, Prometheus' checker. Tests that need it are skipped if it is not installed."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return its output. Fails the test if promtool fails."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on the PATH")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check(folder: Path, rules: list[dict[str, str]]) -> None:
    """Write rules to a file in `folder` and check them."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": rules}]}))
    promtool("check", "rules", file)

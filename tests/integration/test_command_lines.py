"""The command line of each module that `python -m` runs: --help, and arguments that it does not know."""

import re
import subprocess
import sys

import pytest
from rig.project_files import PRODUCT, ROOT, files

PATH = ":".join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "operations")))
#: Modules of these folders are run with `tests` on the path, by their name in it.
OF_TESTS = ("faults", "hostile", "soak", "rig")
SETTING_OF = {
    "api": ("JOBPROC_MAX_BODY_BYTES", "JOBPROC_LONG_POLL_MAX_CLIENTS", "JOBPROC_PARTITION_DAYS", "DATABASE_URL"),
    "worker": ("JOBPROC_LEASE_SECONDS", "JOBPROC_TICK_SECONDS", "DATABASE_URL"),
    "worker.controller": ("JOBPROC_RETENTION_DAYS", "JOBPROC_MAX_CRASHES", "DATABASE_URL"),
    "worker.health": ("JOBPROC_HEALTH_FILE",),
    "common.migrate": ("JOBPROC_DATABASE_ROLES", "DATABASE_URL"),
}


def module_of(parts: tuple[str, ...]) -> str:
    """Return the name by which `python -m` runs a file."""
    names = parts[1:] if parts[0] == "tests" and parts[1] in OF_TESTS else parts
    return ".".join(names).removesuffix(".__main__")


MODULES = sorted(
    module_of(path.relative_to(ROOT).with_suffix("").parts)
    for path in files(*PRODUCT, "tools", "tests", ending=".py")
    if re.search(r'^if __name__ == "__main__":', path.read_text(), re.MULTILINE)
)


def run(module: str, argument: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": PATH}
    return subprocess.run(
        [sys.executable, "-m", module, argument],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_every_entry_point_is_found() -> None:
    assert {*SETTING_OF, "tools.run", "tools.check", "tests.benchmarks.run", "faults.run"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_help_names_the_arguments_and_the_settings_that_are_read(module: str) -> None:
    ended = run(module, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert " ".join(ended.stdout.split()).startswith(f"usage: python -m {module} ")
    for setting in SETTING_OF.get(module, ()):
        assert re.search(rf"^  {setting}( \(default: \S+\))?\n      [A-Z].*\.$", ended.stdout, re.MULTILINE), setting


@pytest.mark.parametrize("module", MODULES)
def test_an_unknown_argument_is_refused_with_the_usage(module: str) -> None:
    ended = run(module, "--no-such-option")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"usage: python -m {module}")
    assert ended.stderr.splitlines()[-1].startswith(f"python -m {module}")

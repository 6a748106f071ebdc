"""The command line of each module that `python -m` runs: --help, and arguments that it does not know."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

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


SDK = ROOT / "clients"  # its command lines are programs of their own, with their own tests
MODULES = sorted(
    module_of(path.relative_to(ROOT).with_suffix("").parts)
    for path in files(*PRODUCT, "tools", "tests", ending=".py")
    if not path.is_relative_to(SDK) and re.search(r'^if __name__ == "__main__":', path.read_text(), re.MULTILINE)
)


@dataclass(frozen=True)
class Ended:
    """The end of a module that was run."""

    code: int | str | None
    stdout: str
    stderr: str


#: Runs a module as `python -m` does, once for each argument, in one process: the imports take most of the time.
RUN = """
import contextlib, io, json, runpy, sys
module, *arguments = sys.argv[1:]
ends = []
for argument in arguments:
    sys.argv, code, streams = [module, argument], None, (io.StringIO(), io.StringIO())
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    ends.append([code, *(stream.getvalue() for stream in streams)])
print(json.dumps(ends))
"""


def run(module: str, *arguments: str) -> list[Ended]:
    """Run a module with each of the arguments."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN, module, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [Ended(*end) for end in json.loads(ran.stdout)]


def test_every_entry_point_is_found() -> None:
    assert {*SETTING_OF, "tools.run", "tools.check", "tests.benchmarks.run", "faults.run"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_help_names_arguments_and_settings_and_an_unknown_argument_is_refused_with_the_usage(module: str) -> None:
    helped, refused = run(module, "--help", "--no-such-option")
    assert (helped.code, helped.stderr) == (0, "")
    assert " ".join(helped.stdout.split()).startswith(f"usage: python -m {module} ")
    for setting in SETTING_OF.get(module, ()):
        assert re.search(rf"^  {setting}( \(default: \S+\))?\n      [A-Z].*\.$", helped.stdout, re.MULTILINE), setting
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"usage: python -m {module}")
    assert refused.stderr.splitlines()[-1].startswith(f"python -m {module}")

"""`make check`: the quality gate. Runs every step, two at a time, and prints the output of those that failed."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.command_line import command_line

BIN = Path(sys.executable).parent
PYTHON = sys.executable
LIMIT_S = 900  # on a machine with many more runnable processes than cores
SDK = "clients/python/src"
TEMPLATE = "tools/operation_template"
TESTS = [
    f"tests/{name}"
    for name in (
        "conftest.py",
        "rig",
        "unit",
        "docs",
        "integration",
        "migrations",
        "operations",
        "chart",
        "clients",
        "console",
        "e2e",
        "faults",
        "hostile",
        "soak",
    )
]


def mypy(*, cache: str, path: str) -> list[str]:
    """Return the type checker's command. Each run has its own cache: concurrent runs that write one would fail."""
    return ["env", f"MYPYPATH={path}", str(BIN / "mypy"), "--cache-dir", f".mypy_cache/{cache}"]


STEPS = {
    # The longest step comes first, beside the others.
    "unit tests": [PYTHON, "-m", "pytest", "-q", "-n", "2", "--no-servers", "tests/unit", "tests/docs"],
    "types": [*mypy(cache="code", path=".")],
    "types of the tests": [*mypy(cache="tests", path="tests:tests/operations"), "--explicit-package-bases", *TESTS],
    "types of the benchmark": [*mypy(cache="benchmark", path="."), "--explicit-package-bases", "tests/benchmarks"],
    "types of the template": [
        *mypy(cache="template", path=f"{TEMPLATE}/src"),
        "--explicit-package-bases",
        *map(str, sorted(Path(TEMPLATE).rglob("*.py"))),
    ],
    "lint": [str(BIN / "ruff"), "check", "--quiet", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
    "import laws": [str(BIN / "lint-imports"), "--no-cache"],
    "docstrings": [str(BIN / "interrogate"), "--quiet", "api", "worker", "common", SDK],
    "spelling": [str(BIN / "codespell")],
    "generated files": [PYTHON, "-m", "tools.generate", "--check"],
    "images": [PYTHON, "-m", "tools.images"],
    "lock files": [PYTHON, "-m", "tools.lock", "--check"],
    "insecure calls": [
        str(BIN / "bandit"),
        "--quiet",
        "-c",
        "pyproject.toml",
        "-r",
        "api",
        "worker",
        "common",
        "tools",
        SDK,
    ],
    "workflows": [PYTHON, "-m", "tools.workflows"],
    "documentation site": [PYTHON, "-m", "tools.site", "--check"],
    "types of the console": [PYTHON, "-m", "tools.console"],
    "advisories": [PYTHON, "-m", "tools.advisories"],
}
SUMMARISED = {"unit tests", "types of the console", "advisories"}  # their last line is printed even if they passed


def run(step: str) -> tuple[str, bool, float, str]:
    """Run a step. Return its name, True if it passed, its seconds and its output."""
    began = time.monotonic()
    result = subprocess.run(STEPS[step], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return step, result.returncode == 0, time.monotonic() - began, (result.stdout + result.stderr).strip()


def main() -> int:
    """Run all steps. Return the exit code."""
    command_line("tools.check", __doc__).parse_args()
    failed = []
    with ThreadPoolExecutor(2) as pool:
        for step, passed, seconds, output in pool.map(run, STEPS):
            print(f"  {'ok    ' if passed else 'FAILED'} {step} ({seconds:.1f} s)", flush=True)
            if step in SUMMARISED and passed:
                print("         " + output.splitlines()[-1])
            if not passed:
                failed.append(step)
                print(output, flush=True)
    if failed:
        print(f"check: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make install`: makes the environment in .venv, with a line that says how far it is. Standard library alone.

pip itself would print hundreds of lines, or with --quiet none for minutes.
"""

import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from common.command_line import command_line
from tools import ROOT

PIP = ["--disable-pip-version-check", "--no-deps", "--require-hashes", "--progress-bar", "off"]
TAIL_LINES = 20
PLAIN_INTERVAL_S = 5.0  # between two lines where no terminal can replace one
_PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)
_COLLECTING = re.compile(r"Collecting ([\w.-]+)")


class Progress:
    """The line of progress: on a terminal it is replaced, elsewhere a new one follows every few seconds."""

    def __init__(self, packages: int, output: TextIO) -> None:
        """`packages`: how many the lock file has; those of other systems are among them."""
        self._packages = packages
        self._output = output
        self._collected = 0
        self._shown_at = float("-inf")

    def see(self, line: str) -> None:
        """Read a line of pip's output."""
        if found := _COLLECTING.match(line):
            self._collected += 1
            self._show(f"package {self._collected} of up to {self._packages}: {found[1]}")
        elif line.startswith("Installing collected packages"):
            self._shown_at = float("-inf")
            self._show(f"installing {self._collected} packages")

    def end(self) -> None:
        """End the line."""
        if self._output.isatty():
            print(file=self._output)

    def _show(self, text: str) -> None:
        now = time.monotonic()
        if self._output.isatty():
            print(f"\r\x1b[K  {text}", end="", flush=True, file=self._output)
        elif now - self._shown_at >= PLAIN_INTERVAL_S:
            self._shown_at = now
            print(f"  {text}", flush=True, file=self._output)


def run(argv: Sequence[str], progress: Progress) -> tuple[int, Iterable[str]]:
    """Run pip and show its progress. Return its exit code and the end of its output."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None  # noqa: S101 - it is a pipe
        for line in pip.stdout:
            tail.append(line.rstrip())
            progress.see(line.strip())
    progress.end()
    return pip.returncode, tail


def main() -> int:
    """Make the environment. Return pip's exit code."""
    parser = command_line("tools.environment", __doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / ".venv", help="default: .venv")
    folder, lock = parser.parse_args().folder, ROOT / "requirements.lock"
    print(f"  making {folder.name}: a minute the first time, several on a slow machine or network", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    progress = Progress(len(_PACKAGE.findall(lock.read_text())), sys.stdout)
    code, tail = run([str(folder / "bin" / "pip"), "install", *PIP, "-r", str(lock)], progress)
    if code:
        print("\n".join([*tail, f"environment: pip ended with code {code}"]), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

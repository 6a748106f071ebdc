"""`python -m tools.workflows`: audits and lints the workflows of GitHub Actions, as a step of `make check`.

zizmor looks for actions without a commit hash, rights that a job does not need, and texts of strangers in scripts.
actionlint (MIT, rhysd) checks syntax, expressions and names. It is written in Go and comes as a Go module alone: where
there is no Go, or no network when it is first built, it is left out, with a sentence.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from common.command_line import command_line
from tools import ROOT

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
FOLDER = ROOT / ".github" / "workflows"
BUILD_LIMIT_S = 240


def actionlint() -> Path | None:
    """Return the program, built in .local/bin if it is not there; None if that is not possible."""
    program = ROOT / ".local" / "bin" / "actionlint"
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not program.exists() and go:
        env = {**os.environ, "GOBIN": str(program.parent)}
        subprocess.run([go, "install", ACTIONLINT], env=env, capture_output=True, timeout=BUILD_LIMIT_S, check=False)
    return program if program.exists() else None


def main(folder: Path = FOLDER) -> int:
    """Check the workflows of a folder. Return the exit code."""
    command_line("tools.workflows", "Audits and lints the workflows of GitHub Actions.").parse_args()
    zizmor = [str(Path(sys.executable).parent / "zizmor"), "--offline", "--quiet", "--no-progress", str(folder)]
    commands = [zizmor]
    if program := actionlint():
        commands.append([str(program), *map(str, sorted(folder.glob("*.yml")))])
    else:
        print("actionlint: not run: there is no Go, or it could not be built")
    return max(subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())

"""Check the console's modules with TypeScript, against types made of the OpenAPI document. Needs Node and npm.

The checker and the generator of types are installed once, as package-lock.json pins them, in .local/console. Nothing
of them is part of an image.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from common.command_line import command_line

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
FOLDER = ROOT / ".local" / "console"
STATIC = ROOT / "api" / "console" / "static"
DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
LIMIT_S = 300
INSTALL = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]


class NotRunError(Exception):
    """Raised if the check cannot be run here."""


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder of the check."""
    return subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def install() -> None:
    """Install the pinned programs, unless they are. Raises NotRunError without Node, npm or their packages."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotRunError("Node and npm are not installed")
    lock = (HERE / "package-lock.json").read_bytes()
    digest, installed = hashlib.sha256(lock).hexdigest(), FOLDER / "installed"
    if installed.exists() and installed.read_text() == digest:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER / name)
    result = run(*INSTALL)
    if result.returncode:
        raise NotRunError(f"npm cannot install TypeScript: {result.stderr[-500:]}")
    installed.write_text(digest)


def check() -> str:
    """Return the errors, an empty text if there are none. Raises NotRunError if the check cannot be run here."""
    install()
    shutil.copy(HERE / "tsconfig.json", FOLDER / "tsconfig.json")
    shutil.rmtree(FOLDER / "static", ignore_errors=True)
    shutil.copytree(STATIC, FOLDER / "static")
    made = run("node_modules/.bin/openapi-typescript", str(DOCUMENT), "-o", "schema.d.ts")
    if made.returncode:
        return made.stdout + made.stderr
    result = run("node_modules/.bin/tsc", "--project", ".")
    return result.stdout + result.stderr if result.returncode else ""


def main() -> int:
    """Run the check. Return the exit code: 0 also where it cannot be run, which is printed."""
    command_line("tools.console", __doc__).parse_args()
    try:
        errors = check()
    except NotRunError as reason:
        print(f"the types of the console were not checked: {reason}")
        return 0
    if errors:
        print(errors.replace("static/", "api/console/static/"), file=sys.stderr)
        return 1
    print("the types of the console are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())

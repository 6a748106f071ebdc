"""`make lock`: compiles the hash-locked requirements of each image and of development from pyproject.toml.

`--check` needs no network: each lock file begins with the digest of the dependencies from which it was compiled.
"""

import hashlib
import json
import subprocess
import sys
import tomllib

from common.command_line import command_line
from tools import ROOT

SDK = "clients/python/pyproject.toml"
LOCKS = {
    "api/requirements.lock": ["pyproject.toml", "--extra", "api"],
    "worker/requirements.lock": ["pyproject.toml", "--extra", "worker"],
    "requirements.lock": ["pyproject.toml", "--all-extras", "--group", "dev"],
    "tools/site/requirements.lock": ["--group", "pyproject.toml:docs"],  # builds the site for the API image
    "clients/python/build.lock": ["--group", f"{SDK}:build"],  # builds the SDK for the worker image
}
MARK = "# dependencies sha256:"


def digest() -> str:
    """Return the digest of everything in the two pyproject.toml that a lock file depends on."""
    project, sdk = (tomllib.loads((ROOT / name).read_text()) for name in ("pyproject.toml", SDK))
    parts = [
        project["project"]["dependencies"],
        project["project"]["optional-dependencies"],
        project["dependency-groups"],
        project["project"]["requires-python"],
        sdk["dependency-groups"],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def compile_lock(name: str, options: list[str], upgrade: bool) -> None:
    """Compile one lock file. Pins that still satisfy pyproject.toml stay, unless `upgrade`."""
    argv = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--no-annotate",
        "--no-header",
        "--no-emit-index-url",
    ]
    argv += ["--python-version", "3.11", *options, "-o", name, *(["--upgrade"] if upgrade else [])]
    subprocess.run(argv, cwd=ROOT, check=True)
    path = ROOT / name
    lines = [line for line in path.read_text().splitlines() if not line.startswith(MARK)]
    path.write_text("\n".join([f"{MARK}{digest()}", *lines]) + "\n")


def main() -> int:
    """Compile or compare the lock files. Return the exit code."""
    parser = command_line("tools.lock", __doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of compile")
    parser.add_argument("--upgrade", action="store_true", help="use the newest versions")
    arguments = parser.parse_args()
    if not arguments.check:
        for name, options in LOCKS.items():
            compile_lock(name, options, arguments.upgrade)
        return 0
    stale = [name for name in LOCKS if not (ROOT / name).read_text().startswith(f"{MARK}{digest()}\n")]
    if stale:
        print(f"{', '.join(stale)}: compiled from other dependencies; run `make lock`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Packages with operations, installed into the environment of the checkout in editable form.

A run has the packages that it names, and no others: those that an earlier run has installed and this one does not name
are uninstalled, because one that cannot be imported any more would stop every worker.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jobproc.operations import GROUP
from tools import ROOT
from tools.run.console import RunError, say
from tools.run.folder import take_lock

LIMIT_S = 600  # a package may have to be compiled
EXAMPLE = '[project.entry-points."jobproc.operations"] acme = "acme.operations"'


@dataclass(frozen=True)
class Package:
    """A package with operations, in its folder."""

    name: str
    folder: Path

    @property
    def sources(self) -> Path:
        """The folder of its modules: `src`, else its own."""
        source = self.folder / "src"
        return source if source.is_dir() else self.folder

    @property
    def project_file(self) -> Path:
        """The file whose change makes another installation necessary."""
        return self.folder / "pyproject.toml"


def package_in(folder: Path) -> Package:
    """Return the package of a folder. Raises RunError if it has none, or none with operations."""
    folder = folder.expanduser().resolve()
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise RunError(f"{folder}: a package with a pyproject.toml is expected there (`make operation` writes one)")
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text()).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: {error}") from error
    if not isinstance(name := project.get("name"), str):
        raise RunError(f"{file}: the section [project] with a name is missing")
    if not project.get("entry-points", {}).get(GROUP) and "entry-points" not in project.get("dynamic", []):
        raise RunError(f"{file}: no entry point names a module with operations, such as {EXAMPLE}")
    return Package(name, folder)


class Environment:
    """The packages that runs have installed into the environment of an interpreter."""

    def __init__(self, prefix: Path = Path(sys.prefix), python: str = sys.executable) -> None:
        self._python = python
        self._record = prefix / "operations.json"
        self._lock_file = prefix / "operations.lock"
        self._lock: IO[str] | None = None

    def provide(self, packages: Sequence[Package]) -> None:
        """Install packages, and uninstall those of earlier runs that are not among them.

        Raises RunError, with the reason in one sentence. The environment stays taken until `release`.
        """
        recorded: dict[str, str] = json.loads(self._record.read_text()) if self._record.exists() else {}
        if not packages and not recorded:
            return
        self._lock = take_lock(self._lock_file)
        if self._lock is None:
            if packages:
                raise RunError("another `make run OPERATIONS=…` uses this environment: end it with Ctrl-C first")
            return  # its packages are known here too
        for name in sorted(recorded.keys() - {package.name for package in packages}):
            self._uv("uninstall", name)
            say(f"uninstalled {name}, which an earlier run had installed from {recorded[name]}")
        self._record.write_text(json.dumps({package.name: str(package.folder) for package in packages}))
        for package in packages:
            self.install(package)

    def install(self, package: Package) -> None:
        """Install a package in editable form, with its dependencies. Raises RunError.

        The versions of jobproc's own dependencies stay: the lock file constrains the installer. `jobproc` is that of
        the checkout.
        """
        lock, sdk = str(ROOT / "requirements.lock"), str(ROOT / "clients" / "python")
        if reason := self._uv("install", "--constraints", lock, "--editable", sdk, "--editable", str(package.folder)):
            raise RunError(f"{package.name} ({package.folder}) cannot be installed beside jobproc: {reason}")
        say(f"installed {package.name} from {os.path.relpath(package.folder)} (editable)")

    def release(self) -> None:
        """Let other runs change the packages."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _uv(self, *arguments: str) -> str:
        """Run the installer. Return the reason why it failed; empty: it has not."""
        argv = [self._python, "-m", "uv", "pip", arguments[0], "--python", self._python, *arguments[1:]]
        try:
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return f"the installer has not ended within {LIMIT_S} s"
        return reason_of(done.stderr) if done.returncode else ""


def reason_of(output: str) -> str:
    """Return the reason in the output of a failed installer, in one line."""
    text = " ".join(output.partition("error:")[2].split() or output.split())
    conflict = re.search(r"Because (.+?), we can conclude", text)
    return conflict[1] if conflict else text

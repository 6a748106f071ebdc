"""Changes of the sources of packages, as they are saved."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from tools.run.packages import Package

STEP_MS = 50  # a group of changes ends after so long without one: editors and `git checkout` write several files
LONGEST_GROUP_MS = 400
WAIT_MS = 200  # the longest wait of `wait`


class SourceChanges:
    """Sees changes of Python files below the sources of packages, and of their pyproject.toml.

    Changes between two calls of `wait` are kept for the second one.
    """

    def __init__(self, packages: Sequence[Package]) -> None:
        self._packages = packages
        self._project_files = {package: _changed_at(package.project_file) for package in packages}
        self._changes = self._watch()
        next(self._changes)  # from here on no change is missed

    def wait(self) -> set[Path]:
        """Return the Python files that have changed, after a short wait if none has."""
        return {Path(path) for _, path in next(self._changes)}

    def changed_projects(self) -> list[Package]:
        """Return the packages whose pyproject.toml has changed: their entry points may be others."""
        changed = []
        for package in self._packages:
            if (at := _changed_at(package.project_file)) != self._project_files[package]:
                self._project_files[package] = at
                changed.append(package)
        return changed

    def _watch(self) -> Iterator[set[tuple[watchfiles.Change, str]]]:
        """Watch the sources; tests are none."""
        tests = [package.folder / "tests" for package in self._packages]
        return watchfiles.watch(
            *(package.sources for package in self._packages),
            watch_filter=watchfiles.PythonFilter(ignore_paths=tests),
            step=STEP_MS,
            debounce=LONGEST_GROUP_MS,
            rust_timeout=WAIT_MS,
            yield_on_timeout=True,
        )


def _changed_at(file: Path) -> int:
    """Return the time of the last change of a file; 0 while an editor replaces it."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0

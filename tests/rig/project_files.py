"""The files of the project, for tests of the code and of the documents."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("api", "worker", "common", "clients/python/src/jobproc")
_DOT_FILES = {".ci", ".github", ".env.example", ".gitignore"}


def files(*folders: str, outside: tuple[str, ...] = (), ending: str = "") -> list[Path]:
    """Return the files of folders; `outside`: beginnings of paths to leave out."""
    found = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob(f"*{ending}")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(path for path in found if not path.relative_to(ROOT).as_posix().startswith(outside))


def all_files() -> list[Path]:
    """Return every file that belongs to the project."""
    kept = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in _DOT_FILES]
    return [path for path in kept if path.is_file()] + files(*(path.name for path in kept if path.is_dir()))

"""The schema's versions. File names begin with the revision, so the head is known without importing Alembic."""

from pathlib import Path


def head() -> str:
    """Return the newest revision that this code knows, such as `0001`."""
    return max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))

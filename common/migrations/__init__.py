"""Migrations of the schema. File names begin with the revision, so `head()` does not have to import Alembic."""

from pathlib import Path


def head() -> str:
    """Return the newest revision of this code, such as `0001`."""
    return max(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))

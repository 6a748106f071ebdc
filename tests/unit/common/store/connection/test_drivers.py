"""Imports of drivers: each process imports its own only, because drivers take most of a worker's memory."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[5]


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("api.__main__", "psycopg2 celery kombu alembic"),
        ("worker.start", "sqlalchemy asyncpg fastapi alembic"),
        ("worker.controller.__main__", "sqlalchemy.orm sqlalchemy.ext asyncpg celery kombu fastapi alembic"),
    ],
)
def test_a_process_imports_no_driver_but_its_own(part: str, names: str) -> None:
    code = f"import sys, {part}; print([name for name in sys.modules if name in {names.split()}])"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout, process.returncode) == ("[]\n", 0), process.stderr

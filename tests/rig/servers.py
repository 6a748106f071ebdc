"""Servers for one run alone, and where servers of tests keep their data."""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from common.migrate import migrate
from rig.settings import settings_of
from tools.servers import Postgres, Redis


def serve(stack: ExitStack, postgres: Postgres, redis: Redis) -> None:
    """Start both, and make the schema; they end with the stack."""
    for server in (postgres, redis):
        stack.callback(server.stop)
        server.start()
    migrate(settings_of(postgres.url(), redis.url))


def folder_for_data(name: str) -> Path:
    """Make a folder, in memory if there is room: a database is made in a fifth of the time there."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix=f"jobproc-{name}-", dir=memory if roomy else None))
    folder.chmod(0o755)
    return folder


@cache
def _migrated() -> Path:
    data = folder_for_data("made") / "data"
    server = Postgres(data, data.parent / "log")
    server.start()
    migrate(settings_of(server.url(), "redis://127.0.0.1:1/0"))
    server.stop()
    return data


def migrated_data(folder: Path) -> Path:
    """Put the data of a migrated PostgreSQL into a folder, and return where: it is made once a session."""
    subprocess.run(["cp", "-a", str(_migrated()), str(folder)], check=True)
    return folder / "data"


def forget() -> None:
    """Remove what was made for the session."""
    if _migrated.cache_info().currsize:
        shutil.rmtree(_migrated().parent, ignore_errors=True)

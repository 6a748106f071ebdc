"""Servers for a single run, and the data folders of test servers."""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from common.migrate import migrate
from rig.settings import WITH_ROLES, settings_from
from tools.servers import Postgres, Redis


def serve(stack: ExitStack, postgres: Postgres, redis: Redis) -> None:
    """Start both servers and migrate the database. They are stopped with the stack."""
    for server in (postgres, redis):
        stack.callback(server.stop)
        server.start()
    migrate(settings_from(postgres.url(), redis.url, **WITH_ROLES))


def folder_for_data(name: str) -> Path:
    """Create a folder, in memory if 4 GiB are free there: creating a database takes a fifth of the time."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix=f"jobproc-{name}-", dir=memory if has_room else None))
    folder.chmod(0o755)
    return folder


@cache
def _migrated() -> Path:
    data = folder_for_data("made") / "data"
    server = Postgres(data, data.parent / "log")
    server.start()
    migrate(settings_from(server.url(), "redis://127.0.0.1:1/0", **WITH_ROLES))
    server.stop()
    return data


def migrated_data(folder: Path) -> Path:
    """Copy the data of a migrated PostgreSQL, created once a session, into a folder; return the copy's path."""
    subprocess.run(["cp", "-a", str(_migrated()), str(folder)], check=True)
    return folder / "data"


def remove_migrated_data() -> None:
    """Remove the migrated data of this session."""
    if _migrated.cache_info().currsize:
        shutil.rmtree(_migrated().parent, ignore_errors=True)

"""Servers for a single run, and the data folders of test servers."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from common.migrate import migrate
from rig.settings import WITH_ROLES, settings_from
from rig.system import Database
from tools.servers import Postgres, Redis

MIGRATED = "JOBPROC_TESTS_MIGRATED"
MAX_STANDSTILL_S = 0.2  # of processes of PostgreSQL, before one of them is killed


def serve(stack: ExitStack, postgres: Postgres, redis: Redis) -> None:
    """Start both servers and migrate the database. They are stopped with the stack."""
    for server in (postgres, redis):
        stack.callback(server.stop)
        server.start()
    migrate(settings_from(postgres.url(), redis.url, **WITH_ROLES))


def kill_backend(database: Database, chance: random.Random) -> str | None:
    """Kill a random process of PostgreSQL that serves jobproc, as the kernel does when memory is short.

    All of them stand still for a moment before, so the statements that are being sent then stay incomplete. PostgreSQL
    ends every connection and recovers from its log. Returns the name of the client; None: there is none.
    """
    found = database.rows(
        """SELECT pid, CASE application_name WHEN 'jobproc' THEN usename ELSE application_name END
        FROM pg_stat_activity WHERE application_name LIKE 'jobproc%'"""  # with a pooler's setting all have one name
    )
    if not found:
        return None
    victim, name = chance.choice(found)
    _signal([pid for pid, _ in found], signal.SIGSTOP)
    time.sleep(chance.uniform(0, MAX_STANDSTILL_S))
    _signal([victim], signal.SIGKILL)
    time.sleep(chance.uniform(0, MAX_STANDSTILL_S / 4))
    _signal([pid for pid, _ in found if pid != victim], signal.SIGCONT)
    return str(name)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, number)


def folder_for_data(name: str) -> Path:
    """Create a folder, in memory if 4 GiB are free there: creating a database takes a fifth of the time."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix=f"jobproc-{name}-", dir=memory if has_room else None))
    folder.chmod(0o755)
    return folder


def make_migrated_data(data: Path) -> None:
    """Create the data of a PostgreSQL whose database postgres is migrated. `migrated_data` copies them."""
    server = Postgres(data, data.parent / "migrated.log", options={"fsync": "off"})
    server.start()
    migrate(settings_from(server.url(), "redis://127.0.0.1:1/0", **WITH_ROLES))
    server.stop()
    os.environ[MIGRATED] = str(data)


def migrated_data(folder: Path) -> Path:
    """Copy the data of a migrated PostgreSQL, created once a session, into a folder; return the copy's path."""
    subprocess.run(["cp", "-a", os.environ[MIGRATED], str(folder / "data")], check=True)
    return folder / "data"

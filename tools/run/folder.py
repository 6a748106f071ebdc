"""The folder of a run: its lock, the ports of its servers, and the deletion of its data."""

import fcntl
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tools.run.console import RunError
from tools.servers import free_port, port_is_free

#: Ports that a run chooses. A worker that was restarted has the other one of its two ports while its predecessor ends.
PORTS = ("postgres", "redis", "api metrics", "worker metrics", "restarted worker metrics", "controller metrics")
FIRST_KEY = "api-key"  # the file of the first API key
WEBHOOK_KEY = "webhook-key"  # the file of the key of webhooks
DATA = ("postgres", "redis", "log", "ports.json", FIRST_KEY, WEBHOOK_KEY)


def take_lock(file: Path) -> IO[str] | None:
    """Lock a file and return it open: closing it frees it. None: another process holds the lock."""
    lock = file.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def locked(folder: Path) -> IO[str]:
    """Take the lock of a folder and return its file. Raises RunError if another run holds it."""
    folder.mkdir(exist_ok=True)
    if (lock := take_lock(folder / "lock")) is None:
        raise RunError("`make run` already runs in this folder: end it with Ctrl-C first")
    return lock


def remembered_ports(folder: Path, names: Sequence[str] = PORTS) -> dict[str, int]:
    """Return a port for each name and remember them: those of the last run, if they are free."""
    file = folder / "ports.json"
    ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    for name in names:
        if not ports.get(name) or not port_is_free(ports[name]):
            ports[name] = free_port()
    file.write_text(json.dumps(ports))
    return ports


def delete_data(folder: Path) -> list[Path]:
    """Delete the data and logs of all runs in a folder, and return what was deleted. Raises RunError during a run."""
    if not folder.exists():
        return []
    with locked(folder):
        found = [folder / name for name in DATA if (folder / name).exists()]
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return found


def webhook_key(folder: Path) -> str:
    """Return the key that encrypts the secrets of webhooks, made at the first run."""
    file = folder / WEBHOOK_KEY
    if not file.exists():
        file.touch(0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()

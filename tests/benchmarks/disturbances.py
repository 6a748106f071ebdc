"""What is bad for a system under load: each cell lasts so many seconds, and leaves nothing behind."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg2

from tests.benchmarks import systems
from tests.benchmarks.run import load
from tools.servers import Postgres

CONNECTIONS = 64
BURST = 1.5  # times the peak


@dataclass
class Scene:
    """A system under load, and its servers."""

    system: systems.System
    postgres: Postgres
    url: str
    port: int
    peak_s: float

    def connect(self) -> Any:
        """Return a connection beside the system's."""
        return psycopg2.connect(self.url)

    def hot_tables(self) -> list[str]:
        """Return the tables with the most writes so far."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT relid::regclass::text FROM pg_stat_user_tables ORDER BY n_tup_ins + n_tup_upd + n_tup_del DESC LIMIT 3")
            return [row[0] for row in cursor.fetchall()]


END_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1
"""
Cell = Callable[[Scene, float], None]


def held(scene: Scene, seconds: float) -> None:
    """A transaction with a snapshot is held open, so nothing that dies can be cleaned up."""
    connection = scene.connect()
    connection.set_session(isolation_level="REPEATABLE READ")
    connection.cursor().execute("SELECT txid_current()")
    time.sleep(seconds)
    connection.close()


def readers(scene: Scene, seconds: float) -> None:
    """Four readers walk the hot tables over and over, each in one transaction."""
    tables, until = scene.hot_tables(), time.monotonic() + seconds

    def read() -> None:
        connection = scene.connect()
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            while time.monotonic() < until:
                for table in tables:
                    cursor.execute(f"SELECT count(*) FROM {table}")
        connection.close()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def burst(scene: Scene, seconds: float) -> None:
    """More comes than the system can take at its best."""
    load(scene.port, CONNECTIONS, seconds, scene.peak_s * BURST)


def restarted(scene: Scene, seconds: float) -> None:
    """PostgreSQL is restarted, as fast as it can."""
    until = time.monotonic() + seconds
    scene.postgres.stop(signal.SIGINT)
    scene.postgres.start()
    time.sleep(max(0.0, until - time.monotonic()))


def backends(scene: Scene, seconds: float) -> None:
    """A connection of the system, by chance, is ended twice a second."""
    until = time.monotonic() + seconds
    with scene.connect() as connection, connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(END_ONE)
            time.sleep(0.5)


def idle(scene: Scene, seconds: float) -> None:
    """Three hundred connections that do nothing."""
    connections = [scene.connect() for _ in range(300)]
    time.sleep(seconds)
    for connection in connections:
        connection.close()


def workers(scene: Scene, seconds: float) -> None:
    """The worker is killed with all its processes, every 20 s, and started again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        process = psutil.Process(scene.system.processes["worker0"].pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        scene.system.end("worker")
        scene.system.start("worker")
        time.sleep(min(20.0, max(0.0, until - time.monotonic())))


CELLS: dict[str, tuple[Cell, float]] = {  # and how many seconds it lasts
    "held": (held, 600.0),
    "readers": (readers, 20.0),
    "burst": (burst, 10.0),
    "restarted": (restarted, 10.0),
    "backends": (backends, 20.0),
    "idle": (idle, 15.0),
    "workers": (workers, 40.0),
}

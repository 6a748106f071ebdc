"""Disturbances of a system under load. Each lasts a given number of seconds and leaves nothing behind."""

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
from tests.benchmarks.throughput import load
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
        """Return a new connection to the system's database."""
        return psycopg2.connect(self.url)

    def hot_tables(self) -> list[str]:
        """Return the tables with the most writes."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT relid::regclass::text FROM pg_stat_user_tables "
                "ORDER BY n_tup_ins + n_tup_upd + n_tup_del DESC LIMIT 3"
            )
            return [row[0] for row in cursor.fetchall()]


END_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1
"""
Disturbance = Callable[[Scene, float], None]


def held(scene: Scene, seconds: float) -> None:
    """Hold a transaction with a snapshot open, so that vacuum can remove no dead row."""
    connection = scene.connect()
    connection.set_session(isolation_level="REPEATABLE READ")
    connection.cursor().execute("SELECT txid_current()")
    time.sleep(seconds)
    connection.close()


def readers(scene: Scene, seconds: float) -> None:
    """Scan the most written tables repeatedly with four readers, each in one transaction."""
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
    """Offer more submissions than the system can take at its peak."""
    load(scene.port, CONNECTIONS, seconds, scene.peak_s * BURST)


def restarted(scene: Scene, seconds: float) -> None:
    """Restart PostgreSQL in fast mode."""
    until = time.monotonic() + seconds
    scene.postgres.stop(signal.SIGINT)
    scene.postgres.start()
    time.sleep(max(0.0, until - time.monotonic()))


def backends(scene: Scene, seconds: float) -> None:
    """Terminate a random connection of the system twice a second."""
    until = time.monotonic() + seconds
    with scene.connect() as connection, connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(END_ONE)
            time.sleep(0.5)


def idle(scene: Scene, seconds: float) -> None:
    """Hold three hundred idle connections."""
    connections = [scene.connect() for _ in range(300)]
    time.sleep(seconds)
    for connection in connections:
        connection.close()


def workers(scene: Scene, seconds: float) -> None:
    """Kill the worker with all its processes every 20 s, and start it again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        process = psutil.Process(scene.system.processes["worker0"].pid)
        for child in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        scene.system.end("worker")
        scene.system.start("worker")
        time.sleep(min(20.0, max(0.0, until - time.monotonic())))


DISTURBANCES: dict[str, tuple[Disturbance, float]] = {  # a disturbance and its duration in seconds
    "held": (held, 600.0),
    "readers": (readers, 20.0),
    "burst": (burst, 10.0),
    "restarted": (restarted, 10.0),
    "backends": (backends, 20.0),
    "idle": (idle, 15.0),
    "workers": (workers, 40.0),
}

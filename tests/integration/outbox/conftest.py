"""The tables of an application, in the database of jobproc's tests but in a schema of its own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.fork_server import python_path
from rig.system import Database

from jobproc.outbox import ddl
from tools.servers import Process, spawn

SCHEMA = "shop"
TABLE = f"{SCHEMA}.jobproc_outbox"


@pytest.fixture
def shop(database_url: str) -> Iterator[Database]:
    """Return a connection of an application, which has an outbox and a table of orders."""
    database = Database(database_url, SCHEMA)
    database.rows(f"CREATE SCHEMA {SCHEMA}; CREATE TABLE {SCHEMA}.orders (id int PRIMARY KEY)")
    for statement in ddl("postgresql", TABLE):
        database.rows(statement)
    yield database
    database.close()


@pytest.fixture
def relay_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return what starts a relay as a process of its own. All of them end with the test."""
    processes: list[Process] = []

    def start(database_url: str, api_url: str, *arguments: str) -> Process:
        log = tmp_path / f"relay{len(processes)}.log"
        argv: list[Any] = [sys.executable, "-m", "jobproc.outbox", "relay", "--table", TABLE]
        argv += ["--database", database_url, "--api-url", api_url, *arguments]
        processes.append(spawn(argv, log, python_path(), cwd=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()

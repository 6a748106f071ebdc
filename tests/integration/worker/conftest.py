"""A system that the tests of one file share: for what runs quickly and breaks nothing."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from rig.system import System

TEMPLATE = "jobproc_template"
REDIS_NUMBER = 40  # of the session's Redis: past those of single tests


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """An API, a worker of two processes and a controller for all tests of a file."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    form = os.environ["JOBPROC_TESTS_POSTGRES"]
    connection = psycopg2.connect(form.format("postgres"))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    number = REDIS_NUMBER + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    folder: Path = tmp_path_factory.mktemp("system")
    system = System(folder, form.format(name), f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
    try:
        yield system.all(JOBPROC_PROGRESS_SECONDS="0.05", JOBPROC_MAX_RESULT_BYTES="2000", JOBPROC_MAX_ERROR_CHARACTERS="300")
        assert system.database.deadlocks() == 0
    finally:
        print("\n".join(system.show_logs()))
        system.close()
        connection.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()

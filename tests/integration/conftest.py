"""A system that all tests of a file share, for tests that are quick and cause no faults."""

import os
from collections.abc import Iterator

import pytest
from rig.databases import database
from rig.system import System

REDIS_NUMBER = 40  # first database number in the session's Redis; single tests use lower ones


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API, a worker of two processes and a controller for all tests of a file."""
    number = REDIS_NUMBER + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("system"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.all(
                JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.05",
                JOBPROC_MAX_RESULT_BYTES="2000",
                JOBPROC_MAX_ERROR_CHARACTERS="300",
            )
        finally:
            print("\n".join(system.show_logs()))
            system.close()

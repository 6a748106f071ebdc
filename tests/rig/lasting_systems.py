"""A system that several tests share, on a database and a Redis database of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig.databases import database
from rig.system import System


@contextmanager
def lasting_system(folder: Path, worker_id: str, first_redis: int) -> Iterator[System]:
    """Make a system in which nothing runs yet, and close it in the end; then its logs are printed.

    `first_redis`: number of the Redis database of the first xdist worker; each has its own.
    """
    number = first_redis + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(folder, url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system
        finally:
            print("\n".join(system.show_logs()))
            system.close()

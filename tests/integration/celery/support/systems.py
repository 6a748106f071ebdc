"""A system for a file of tests, with packages of tasks and a client of `jobproc.celery`."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rig.databases import database
from rig.packages import write_package
from rig.system import System

from jobproc import Client, celery
from jobproc.celery.configuration import _configuration
from jobproc.operations import registered

REDIS_NUMBER = 40  # as of the fixture `shared`, which no file uses beside this
#: Offers the tasks of the shop that runs on Celery.
OFFER = "import shop\nfrom jobproc.celery import register\n\nregister(shop.app, __name__)\n"


@contextmanager
def running(folder: Path, worker_id: str, packages: dict[str, str], queues: str = "default") -> Iterator[System]:
    """Run a system whose worker has packages, by their module; this process can import them too."""
    number = REDIS_NUMBER + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    before = dict(registered)
    with database() as url:
        system = System(folder, url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        code = folder / "packages"
        for module, text in packages.items():
            write_package(code, module, text)
        system.env["PYTHONPATH"] = f"{system.env['PYTHONPATH']}:{code}:{Path(__file__).parent}"
        system.env["JOBPROC_API_URL"] = f"http://127.0.0.1:{system.port}"
        system.env["JOBPROC_URL"] = system.env["JOBPROC_API_URL"]  # of the client, by which tasks submit a canvas
        system.env["JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS"] = "0.05"
        sys.path[:0] = [str(code), str(Path(__file__).parent)]
        client: Client | None = None
        try:
            system.api().worker(queues=queues).controller()
            client = Client(url=str(system.client.base_url))
            celery.configure(client=client)
            yield system
        finally:
            print("\n".join(system.show_logs()))
            _configuration.client = None
            if client:
                client.close()
            system.close()
            del sys.path[:2]
            for module in packages:  # the app of the shop stays: Celery shares tasks between apps
                sys.modules.pop(module, None)
            registered.clear()
            registered.update(before)


def imported(module: str) -> ModuleType:
    """Return a package, as a caller imports it."""
    return importlib.import_module(module)

"""Versions of PostgreSQL before that of the wheel: the oldest is 15."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rig.servers import folder_for_data
from rig.settings import WITH_ROLES, settings_from
from rig.system import System, until

from common.migrate import migrate
from common.store.schema import planner_statistics
from tools.servers import Postgres

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("1[567]/bin"))  # as Debian's packages do


@pytest.mark.parametrize("version", [150_000, 170_006])
def test_a_function_of_a_newer_version_is_not_called(version: int) -> None:
    """The connection can run no statement."""
    connection: Any = SimpleNamespace(driver_connection=SimpleNamespace(info=SimpleNamespace(server_version=version)))
    planner_statistics.clear_live_statistics(connection)


@pytest.fixture
def old_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """Start the oldest version that is installed."""
    if not INSTALLED:
        pytest.skip("no older PostgreSQL is installed in /usr/lib/postgresql")
    monkeypatch.setenv("POSTGRES_PROGRAMS", str(INSTALLED[0]))
    folder = folder_for_data("old")
    server = Postgres(folder / "data", tmp_path / "postgres.log", options={"fsync": "off"})
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_all_parts_work_on_an_older_server(
    make_system: Callable[..., System], old_postgres: Postgres, redis_url: str
) -> None:
    migrate(settings_from(old_postgres.url(), redis_url, **WITH_ROLES))
    system = make_system(old_postgres.url(), redis_url).all()
    assert system.wait(system.submit("stumble", 1, 5))["result"] == 5
    lost = system.submit("effect", 60, 1)
    system.wait_status(lost, "IN_PROGRESS")
    system.end("worker", 9)
    until("the controller has rescued the job", lambda: system.status(lost) != "IN_PROGRESS")
    assert system.processes["controller"].poll() is None
    assert {"queues"} <= system.client.get("/stats").json().keys()
    assert system.client.get("/jobs?status=SUCCESS").json()["jobs"]

"""Fixtures of all tests: servers once a session; a database and processes once a test."""

import functools
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from rig import pgbouncer, redis_users
from rig.databases import TEMPLATE, database
from rig.fork_server import ForkServer
from rig.pgbouncer import PgBouncer
from rig.servers import folder_for_data, make_migrated_data, migrated_data
from rig.settings import settings_from
from rig.system import QUICK, System
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist has no types

from common.settings import Settings
from tools.servers import Postgres, Redis

#: fsync is off because each CREATE or DROP DATABASE would wait for the disk, and full_page_writes because each is a
#: checkpoint, after which whole pages would be logged. Tests that kill PostgreSQL start another.
SESSION = {"shared_buffers": "256MB", "max_wal_size": "1GB", "fsync": "off", "full_page_writes": "off"}
_servers: list[Postgres | Redis | PgBouncer] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-servers", action="store_true", help="start no PostgreSQL and no Redis (unit tests)")
    parser.addoption("--pgbouncer", action="store_true", help="reach PostgreSQL through PgBouncer in transaction mode")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Distributes unit tests and tests with a module fixture by file, every other test alone."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.startswith("tests/unit/") or _shares(self.config.rootpath / file) else nodeid


@functools.cache
def _shares(file: Path) -> bool:
    """Return True if a file's tests use a fixture of module scope."""
    return re.search(r'scope="module"|\bshared: System', file.read_text()) is not None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Slow tests run first, because a slow test that starts last prolongs the session.
    items.sort(key=lambda item: "/integration/" not in str(item.path))
    if config.getoption("--pgbouncer"):
        for item in items:
            if reason := pgbouncer.skip_reason(item.nodeid):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--pgbouncer"):
        if reason := pgbouncer.missing():
            raise pytest.UsageError(reason)
        os.environ["JOBPROC_DATABASE_POOLER"] = QUICK["JOBPROC_DATABASE_POOLER"] = "transaction"
    System.fork_server = ForkServer()
    System.has_redis_users = True
    # With xdist only the main process starts servers; xdist's workers read the URLs from the environment.
    if hasattr(config, "workerinput") or config.getoption("--no-servers") or config.option.collectonly:
        return
    folder = folder_for_data("tests")
    os.environ["JOBPROC_TESTS_FOLDER"] = str(folder)
    make_migrated_data(folder / "migrated")
    postgres = Postgres(migrated_data(folder), folder / "postgres.log", options=SESSION)
    options = ("--save", "", "--databases", "64", *redis_users.options(folder / "redis"))
    redis = Redis(folder / "redis", folder / "redis.log", options=options)
    _servers.extend([postgres, redis])
    postgres.start()
    redis.start()
    os.environ["JOBPROC_TESTS_POSTGRES"] = postgres.url("{}")
    os.environ["JOBPROC_TESTS_REDIS"] = redis.url.removesuffix("/0")
    connection = psycopg2.connect(postgres.url("template1"))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE postgres")
    connection.close()
    if config.getoption("--pgbouncer"):
        pooler = PgBouncer(folder / "pgbouncer", postgres.port).start()
        _servers.append(pooler)
        os.environ["JOBPROC_TESTS_POSTGRES"] = pooler.url("{}")


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in reversed(_servers):
        server.stop()
    if _servers:
        log = (Path(os.environ["JOBPROC_TESTS_FOLDER"]) / "postgres.log").read_text(errors="replace")
        if (crash := log.find("terminated by signal")) >= 0:  # the statement that ran follows
            print(f"\nthe session's PostgreSQL has crashed:\n{log[max(0, crash - 2_000) : crash + 5_000]}")
        shutil.rmtree(os.environ["JOBPROC_TESTS_FOLDER"], ignore_errors=True)


@pytest.fixture
def database_url() -> Iterator[str]:
    """Create a migrated database for the test; return its URL."""
    with database() as url:
        yield url


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """Create a database without a schema for the test; return its URL."""
    with database(None) as url:
        yield url


@pytest.fixture
def redis_url(worker_id: str) -> str:
    """Empty the Redis database of this xdist worker; return its URL."""
    import redis

    number = 1 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    url = f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """Return settings with this test's database and Redis."""
    return settings_from(database_url, redis_url)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Start a migrated PostgreSQL that the test may stop, kill and restart."""
    folder = folder_for_data("own")
    server = Postgres(migrated_data(folder), tmp_path / "postgres.log")
    server.start()
    yield server
    server.stop(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """Start a Redis that the test may stop, kill, flush and restart. A restart loses its data."""
    options = ("--save", "", *redis_users.options(tmp_path / "redis"))
    server = Redis(tmp_path / "redis", tmp_path / "redis.log", options=options)
    server.start()
    yield server
    server.stop(signal.SIGKILL)  # a process under SIGSTOP handles no other signal


@pytest.fixture
def make_system(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., System]]:
    """Return a factory of systems with a database, a Redis and settings. Their logs are printed if the test fails."""
    systems: list[System] = []

    def make(database_url: str, redis_url: str, **settings: str) -> System:
        folder = tmp_path / f"system{len(systems)}"
        folder.mkdir()
        systems.append(System(folder, database_url, redis_url, **settings))
        return systems[-1]

    yield make
    for system in systems:
        if getattr(request.node, "failed", False):
            print("\n".join(system.show_logs()))
        system.close()


@pytest.fixture
def system(make_system: Callable[..., System], database_url: str, redis_url: str) -> System:
    """Return a system on this test's database and Redis, with no process started."""
    return make_system(database_url, redis_url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:  # type: ignore[attr-defined]  # a hook wrapper receives the report
        item.failed = True  # type: ignore[attr-defined]  # read by make_system
    return report

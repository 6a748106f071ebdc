"""Starts of every process against a database that lacks something: the rows of docs/operate/startup.md."""

import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import pytest
from rig.databases import database
from rig.servers import folder_for_data, migrated_data
from rig.settings import WITH_ROLES
from rig.system import Database, System, until

from tools.servers import Postgres, Redis, free_port

LIMIT_S = 1.5
#: By name: a process, and its arguments.
PROCESSES = {
    "migrate": ("common.migrate",),
    "wait": ("common.migrate", "--wait", str(LIMIT_S)),
    "api": ("api", "--port"),
    "worker": ("worker", "--concurrency", "2"),
    "controller": ("worker.controller",),
}
SERVICES = ("api", "worker", "controller")
MAX_LINES = 5  # of a process that does not start: its settings, no authentication, what it waits for, its end
ENDED = (0, -signal.SIGTERM)  # uvicorn raises the signal again
MakeSystem = Callable[..., System]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a migrated PostgreSQL that asks one role for a password, and refuses another one."""
    folder = folder_for_data("startup")
    postgres = Postgres(migrated_data(folder), folder / "log")
    hba = postgres.folder / "pg_hba.conf"
    hba.write_text(f"host all secretive all scram-sha-256\nhost all banned all reject\n{hba.read_text()}")
    postgres.start()
    with closing(Database(postgres.url())) as admin:
        admin.rows("CREATE ROLE secretive LOGIN PASSWORD 'right'; CREATE ROLE banned LOGIN; CREATE ROLE stranger LOGIN")
        for name in ("empty", "old", "taken"):
            admin.rows(f"CREATE DATABASE {name}")
    yield postgres
    postgres.stop(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


def start(system: System, *names: str, **settings: str) -> None:
    """Start processes with a short wait."""
    short = {"JOBPROC_STARTUP_MAX_WAIT_SECONDS": str(LIMIT_S), "JOBPROC_DATABASE_TIMEOUT_SECONDS": "2"}
    for name in names:
        module, *arguments = PROCESSES[name]
        system.spawn(name, module, *arguments, *([str(system.port)] if name == "api" else []), **short | settings)


def expect_refusal(system: System, *names: str, reason: str) -> None:
    """Expect that processes end with code 1 and one sentence, and that they have said once what they waited for."""
    for name in names:
        assert system.processes[name].wait(20) == 1, system.log(name)
        part = "migrate" if name == "wait" else name
        *logged, sentence = system.log(name).splitlines()
        assert sentence.startswith(f"{part}: "), system.log(name)
        assert reason in sentence
        assert len(logged) < MAX_LINES, system.log(name)
        assert len(system.events(name, "startup_waiting")) <= 1, system.log(name)


def expect_wait(system: System, *names: str, reason: str) -> None:
    """Expect that processes wait beyond the limit, and have said once for what."""
    for name in names:
        until(f"{name} waits", partial(system.events, name, "startup_waiting"))
    until("the limit is over", lambda: all(system.processes[name].poll() is not None for name in ("migrate", "wait")))
    for name in names:
        assert system.processes[name].poll() is None, system.log(name)
        (waits,) = system.events(name, "startup_waiting")
        assert reason in waits["reason"]
        assert waits["ends_after_s"] is None
        assert len([line for line in system.log(name).splitlines() if "reason" in line]) == 1, system.log(name)


REFUSED_LOGINS = {
    "no such database": ("postgres@", "nowhere", 'refuses the connection: database "nowhere" does not exist'),
    "no such role": ("nobody_known@", "postgres", 'refuses the connection: role "nobody_known" does not exist'),
    "a wrong password": ("secretive:wrong@", "postgres", "password authentication failed for user"),
    "a role that pg_hba.conf rejects": ("banned@", "postgres", "pg_hba.conf rejects connection"),
}


@pytest.mark.parametrize("case", REFUSED_LOGINS)
def test_a_refused_login_is_waited_for_until_the_limit(
    make_system: MakeSystem, server: Postgres, redis_url: str, case: str
) -> None:
    user, name, reason = REFUSED_LOGINS[case]
    url = f"postgresql://{user}127.0.0.1:{server.port}/{name}"
    system = make_system(url, redis_url)
    start(system, *PROCESSES)
    expect_refusal(system, *PROCESSES, reason=reason)
    for process in PROCESSES:
        assert f"PostgreSQL at 127.0.0.1:{server.port}" in system.log(process)
        assert "wrong" not in system.log(process)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Listen on a port, and never answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("case", ["refused", "unknown host", "silent"])
def test_an_unreachable_server_is_waited_for_without_limit_except_by_migrations(
    make_system: MakeSystem, redis_url: str, silent_port: int, case: str
) -> None:
    place = {"refused": f"127.0.0.1:{free_port()}", "unknown host": "host.invalid:5432"}.get(case)
    place = place or f"127.0.0.1:{silent_port}"
    system = make_system(f"postgresql://postgres@{place}/postgres", redis_url)
    start(system, *PROCESSES)
    reason = f"no PostgreSQL answers at {place}: "
    expect_wait(system, *SERVICES, reason=reason)
    expect_refusal(system, "migrate", "wait", reason=reason)
    assert system.client.get("/livez").status_code == 200
    for name in SERVICES:
        system.end(name)


def test_a_database_without_the_schema_is_waited_for_until_the_limit(
    make_system: MakeSystem, server: Postgres, redis_url: str
) -> None:
    system = make_system(server.url("empty"), redis_url)
    start(system, "wait", *SERVICES)
    expect_refusal(
        system,
        "wait",
        *SERVICES,
        reason="the database empty has no schema jobproc, or an empty one: run python -m common.migrate",
    )
    start(system, "migrate")
    assert system.processes["migrate"].wait(20) == 0


def test_an_older_schema_is_waited_for_until_the_limit_and_a_newer_one_is_none(
    make_system: MakeSystem, server: Postgres, redis_url: str
) -> None:
    system = make_system(server.url("old"), redis_url)
    start(system, "migrate", **WITH_ROLES)
    assert system.processes["migrate"].wait(20) == 0, system.log("migrate")
    system.database.rows("UPDATE alembic_version SET version_num = '0000'")
    start(system, "wait", *SERVICES)
    expect_refusal(system, "wait", *SERVICES, reason="the schema jobproc is at 0000, and this version needs 00")
    system.database.rows("UPDATE alembic_version SET version_num = '9999'")
    start(system, *PROCESSES)
    for name in ("migrate", "wait"):
        assert system.processes[name].wait(20) == 0, system.log(name)
    for name in SERVICES:
        until(f"{name} is ready", partial(system.events, name, "schema_ready"))
        assert system.end(name) in ENDED


def test_a_schema_with_tables_of_another_program_is_left_alone(
    make_system: MakeSystem, server: Postgres, redis_url: str
) -> None:
    system = make_system(server.url("taken"), redis_url)
    system.database.rows("CREATE SCHEMA jobproc; CREATE TABLE jobproc.alembic_version AS SELECT 'f00' AS version_num")
    start(system, *PROCESSES)
    expect_refusal(system, *PROCESSES, reason="has tables that are not of jobproc: set JOBPROC_DATABASE_SCHEMA to")
    assert not system.events("migrate", "startup_waiting"), "a wait would not help"
    assert system.database.rows("SELECT * FROM jobproc.alembic_version") == [("f00",)]


def test_a_role_without_rights_is_waited_for_until_the_limit(
    make_system: MakeSystem, server: Postgres, redis_url: str
) -> None:
    system = make_system(f"postgresql://stranger@127.0.0.1:{server.port}/postgres", redis_url)
    start(system, "wait", *SERVICES)
    expect_refusal(system, "wait", *SERVICES, reason="the role stranger has no rights in the schema jobproc of the")


def test_processes_that_wait_for_the_schema_begin_as_soon_as_it_is_there(
    make_system: MakeSystem, redis_url: str
) -> None:
    with database(None) as url:
        system = make_system(url, redis_url)
        long = {"JOBPROC_STARTUP_MAX_WAIT_SECONDS": "60"}
        start(system, *SERVICES, **long, JOBPROC_HEALTH_FILE=str(system.folder / "health"))
        for name in SERVICES:
            until(f"{name} waits", partial(system.events, name, "startup_waiting"))
        until("the worker is alive", (system.folder / "health").exists)
        assert system.client.get("/livez").status_code == 200
        assert system.client.get("/readyz").status_code == 503
        start(system, "migrate", **WITH_ROLES)
        until("the API is ready", lambda: system.client.get("/readyz").status_code == 200)
        until("the worker is ready", lambda: system.events("worker", "worker_ready"))
        until("its operations are known", lambda: system.database.rows("SELECT name FROM operations"))
        assert system.wait(system.submit("square_sum", 3))["result"] == 9
        for name in SERVICES:
            until(f"{name} has seen it", partial(system.events, name, "schema_ready"))
            assert len(system.events(name, "schema_ready")) == 1
            assert len(system.events(name, "startup_waiting")) == 1
            assert system.end(name) in ENDED
        system.close()


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_that_waits_ends_in_order_by_a_signal(make_system: MakeSystem, redis_url: str, name: str) -> None:
    system = make_system(f"postgresql://postgres@127.0.0.1:{free_port()}/none", redis_url)
    start(system, name)
    until("it waits", lambda: system.events(name, "startup_waiting"))
    assert system.end(name) in ENDED
    assert "Traceback" not in system.log(name)


def test_a_migration_says_which_sql_its_role_lacks_the_right_for(
    make_system: MakeSystem, empty_database_url: str, redis_url: str
) -> None:
    name = urlsplit(empty_database_url).path.removeprefix("/")
    role = f"{name}_migration"
    admin = Database(empty_database_url)
    admin.rows(f"CREATE ROLE {role} LOGIN")
    try:
        system = make_system(empty_database_url.replace("postgres@", f"{role}@"), redis_url)
        for advice in (
            f'CREATE SCHEMA "jobproc" AUTHORIZATION {role}',
            f'GRANT USAGE, CREATE ON SCHEMA "jobproc" TO {role}',
        ):
            start(system, "migrate")
            expect_refusal(system, "migrate", reason=advice)
            assert not system.events("migrate", "startup_waiting"), "a wait would not help"
            system.log_file("migrate").unlink()
            admin.rows(advice if advice.startswith("GRANT") else "CREATE SCHEMA jobproc")
        start(system, "migrate")
        assert system.processes["migrate"].wait(20) == 0, system.log("migrate")
    finally:
        admin.rows(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
        admin.close()


@pytest.mark.parametrize("case", ["refused", "unknown host", "a wrong password"])
def test_no_process_waits_for_redis_and_a_worker_says_once_what_is_wrong_with_it(
    make_system: MakeSystem, database_url: str, own_redis: Redis, case: str
) -> None:
    url = {"refused": f"redis://127.0.0.1:{free_port()}/0", "unknown host": "redis://host.invalid:6379/0"}.get(case)
    system = make_system(database_url, url or own_redis.url.replace("redis://", "redis://worker:wrong@"))
    system.has_redis_users = False
    start(system, *SERVICES)
    until("the API is ready", lambda: system.events("api", "schema_ready"))
    until("the operations are known", lambda: system.database.rows("SELECT name FROM operations WHERE name = 'noop'"))
    for number in range(3):
        assert system.wait(system.submit("square_sum", number))["result"] == number * number
    assert len(system.events("worker", "redis_unavailable")) == 1
    assert "wrong" not in system.log("worker")

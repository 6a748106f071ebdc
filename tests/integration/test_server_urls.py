"""DATABASE_URL and REDIS_URL mean the same to every process: both drivers of PostgreSQL, both clients of Redis."""

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from rig.proxy import Proxy
from rig.servers import folder_for_data, migrated_data
from rig.settings import ROLE_PREFIX, settings_from
from rig.system import Database, System, until
from rig.tls import Certificate, PostgresTlsProxy

from common.domain.errors import StoreUnavailable
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.connection.psycopg2_session import connect
from tools.servers import Postgres, programs, spawn

REDIS = "redis://127.0.0.1:1/0"  # not reached
PASSWORD = "".join(chr(code) for code in range(1, 127)) + "ü€"
SESSION = """SELECT current_user::text, current_setting('search_path') AS search_path,
current_setting('work_mem') AS work_mem, current_setting('application_name') AS application_name"""
KEEPALIVE_OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
HONOURED = (
    "?sslmode=allow&gssencmode=prefer&channel_binding=prefer&connect_timeout=7&client_encoding=utf8"
    "&target_session_attrs=primary"
)
Session = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a PostgreSQL that listens on IPv4, IPv6 and a socket, and asks a user for a password."""
    folder = folder_for_data("urls")
    data = migrated_data(folder)
    options = {"listen_addresses": "127.0.0.1,::1", "unix_socket_directories": "/tmp", "max_connections": "30"}
    postgres = Postgres(data, folder / "log", options=options)
    hba = data / "pg_hba.conf"
    hba.write_text(f"host all secretive all scram-sha-256\nlocal all secretive scram-sha-256\n{hba.read_text()}")
    postgres.start()
    with psycopg2.connect(postgres.url()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE secretive LOGIN PASSWORD %s", (PASSWORD,))
    connection.close()
    yield postgres
    postgres.stop(signal.SIGQUIT)
    shutil.rmtree(folder, ignore_errors=True)


def sessions(url: str, **settings: str) -> tuple[Session, Session]:
    """Return what a worker's and the API's session say of themselves."""
    values = settings_from(url, REDIS, **settings)
    with connect(values, "worker").cursor() as cursor:
        cursor.execute(SESSION)
        (worker,) = cursor.fetchall()
        cursor.connection.close()

    async def read() -> Session:
        pool = DatabasePool(values)
        try:
            (row,) = await pool.run(lambda connection: connection.fetch(SESSION), Lane.BY_ID)
            return row["current_user"], row["search_path"], row["work_mem"], row["application_name"]
        finally:
            await pool.close()

    return worker, asyncio.run(read())


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("postgresql://postgres@127.0.0.1:{port}/postgres\n", "postgres"),
        ("postgresql://secretive:{password}@127.0.0.1:{port}/postgres", "secretive"),
        ("postgresql://127.0.0.1:{port}/postgres?user=secretive&password={password}", "secretive"),
        ("postgresql://postgres@[::1]:{port}/postgres", "postgres"),
        ("postgresql://postgres@%2Ftmp:{port}/postgres", "postgres"),
        ("postgresql:///postgres?user=secretive&password={password}&host=/tmp&port={port}", "secretive"),
        ("postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/postgres", "postgres"),
        ("postgresql://postgres@127.0.0.1:{port}/postgres" + HONOURED, "postgres"),
    ],
)
def test_both_drivers_connect_by_every_form_of_the_url(server: Postgres, url: str, user: str) -> None:
    url = url.format(port=server.port, password=quote(PASSWORD, safe=""))
    assert [session[0] for session in sessions(url)] == [user, user]


def test_both_drivers_honour_options_and_names(server: Postgres) -> None:
    """Except that of jobproc's schema, which is a setting. Through a pooler sessions get neither."""
    url = f"{server.url()}?options=-c%20search_path%3Djobs%20-c%20work_mem%3D5MB&application_name=billing"
    assert sessions(url, JOBPROC_DATABASE_POOLER="none") == (
        ("postgres", '"jobproc"', "5MB", "billing-worker"),
        ("postgres", '"jobproc"', "5MB", "billing-api"),
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (1, 30, 5, 3, None)),
        ("?keepalives_idle=61&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=8000", (1, 61, 7, 4, 8000)),
        ("?keepalives=0", (0, None, None, None, None)),
    ],
)
def test_both_drivers_keep_connections_alive_alike(
    server: Postgres, query: str, expected: tuple[int | None, ...]
) -> None:
    settings = settings_from(server.url() + query, REDIS)

    def options(fileno: int) -> tuple[int, ...]:
        with socket.socket(fileno=fileno) as of_connection:
            found = [of_connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
            found += [of_connection.getsockopt(socket.IPPROTO_TCP, option) for option in KEEPALIVE_OPTIONS]
            of_connection.detach()
        return tuple(found)

    async def of_the_api() -> tuple[int, ...]:
        pool = DatabasePool(settings)
        async with pool.acquire(Lane.BY_ID) as connection:
            transport = connection._transport  # type: ignore[attr-defined]  # the driver does not give it
            found = options(transport.get_extra_info("socket").fileno())
        await pool.close()
        return found

    worker = connect(settings, "worker")
    for found in (options(worker.fileno()), asyncio.run(of_the_api())):
        assert [actual for actual, wanted in zip(found, expected, strict=True) if wanted is not None] == [
            wanted for wanted in expected if wanted is not None
        ]
    worker.close()


def test_a_silent_host_delays_neither_driver_beyond_its_limit(server: Postgres) -> None:
    with Proxy(server.port) as silent:
        silent.silence()
        url = f"postgresql://postgres@127.0.0.1:{silent.port},127.0.0.1:{server.port}/postgres"
        began = time.monotonic()
        worker, api = sessions(url, JOBPROC_DATABASE_TIMEOUT_SECONDS="2")
    assert (worker[0], api[0]) == ("postgres", "postgres")
    assert time.monotonic() - began < 10


needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@needs_openssl
def test_both_drivers_check_the_certificate_of_the_server(server: Postgres, tmp_path: Path) -> None:
    folders = [tmp_path / "server", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    certificate, other = (Certificate(folder) for folder in folders)
    with PostgresTlsProxy(server.port, certificate) as proxy:
        url = f"postgresql://postgres@localhost:{proxy.port}/postgres?sslmode=verify-full&sslrootcert="
        assert [session[0] for session in sessions(f"{url}{certificate.file}")] == ["postgres", "postgres"]
        untrusted = settings_from(f"{url}{other.file}", REDIS)
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            connect(untrusted, "worker")
        with pytest.raises(StoreUnavailable):
            asyncio.run(DatabasePool(untrusted).run(lambda connection: connection.fetchrow(SESSION), Lane.BY_ID))


@needs_openssl
def test_a_worker_encrypts_its_connection_to_redis(
    make_system: Callable[..., System], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Its Celery too, without a parameter of the URL."""
    certificate = Certificate(tmp_path)
    port, _, number = redis_url.rpartition(":")[2].partition("/")
    with Proxy(int(port), certificate.context()) as proxy:
        url = f"rediss://localhost:{proxy.port}/{number}"
        system = make_system(
            database_url, f"{url}?ssl_ca_certs={certificate.file}", JOBPROC_TICK_SECONDS="60"
        )  # without a doorbell a job would wait for a minute
        system.api().worker(concurrency=1)
        until("Celery is connected", lambda: proxy.connections >= 2)
        for _ in range(2):  # the first one may find the operations unknown
            assert system.wait(system.submit("square_sum", 3))["status"] == "SUCCESS"
        system.end("worker")
        system.env["REDIS_URL"] = url  # by the certificates of the system it is unknown
        system.spawn("distrustful", "worker")
        until("the error is logged", lambda: "certificate verify failed" in system.log("distrustful"))


def _standby(primary: Postgres, folder: Path) -> Postgres:
    data = folder / "standby"
    copying = spawn(
        [str(programs() / "pg_basebackup"), "-R", "-X", "stream", "-c", "fast", "-D", str(data), "-d", primary.url()],
        folder / "basebackup.log",
        user=primary._user,
        cwd=Path("/"),
    )
    assert copying.wait(60) == 0, (folder / "basebackup.log").read_text()
    standby = Postgres(data, folder / "standby.log")
    standby.start()
    return standby


def test_every_process_follows_the_primary_to_another_host(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str
) -> None:
    """The first host is the standby; then it becomes the primary, and the other one is down."""
    with ExitStack() as stack:
        folder = folder_for_data("standby")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if own_postgres._user:
            folder.chmod(0o777)
        standby = _standby(own_postgres, folder)
        stack.callback(standby.stop, signal.SIGQUIT)
        url = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{own_postgres.port}/postgres"
        system = make_system(url, redis_url, JOBPROC_DATABASE_TIMEOUT_SECONDS="2")
        system.database = Database(own_postgres.url())
        assert system.spawn("migrate", "common.migrate").wait() == 0, system.log("migrate")
        system.all()
        before = system.submit("square_sum", 3)
        assert system.wait(before)["status"] == "SUCCESS"
        system.database.close()
        caught_up = Database(standby.url())
        until(
            "the standby has the result",
            lambda: caught_up.value("SELECT count(*) FROM outcomes WHERE id = %s", (before,)),
        )
        own_postgres.stop(signal.SIGQUIT)
        caught_up.value("SELECT pg_promote()")
        caught_up.close()
        system.database = Database(standby.url())
        until("the API is ready", lambda: system.client.get("/readyz").status_code == 200)
        assert system.job(before)["status"] == "SUCCESS"
        assert system.wait(system.submit("square_sum", 4), 30)["result"] == 16
        until(
            "every process is connected",
            lambda: (
                {f"{ROLE_PREFIX}_api", f"{ROLE_PREFIX}_worker"}
                <= {name for (name,) in system.database.rows("SELECT DISTINCT usename FROM pg_stat_activity")}
            ),
        )
        assert all(process.poll() is None for name, process in system.processes.items() if name != "migrate")

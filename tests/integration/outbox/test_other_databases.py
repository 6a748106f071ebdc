"""The relay on SQLite and MySQL."""

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest
from rig.system import System, until

from jobproc.outbox import Outbox, Relay, RelaySettings, ddl
from tools.servers import free_port, spawn, wait_for

QUICK = RelaySettings(poll_seconds=0.05, lease_seconds=3, timeout_seconds=2)


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start MariaDB, which has MySQL's interface; return the URL of a database."""
    if not (program := shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin")):
        pytest.skip("there is no mariadbd")
    folder, port = tmp_path_factory.mktemp("mysql"), free_port()
    install = [
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={folder}/data",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run([*install, "--user=root"], check=True, capture_output=True)
    options = [f"--datadir={folder}/data", f"--socket={folder}/s", f"--port={port}", "--bind-address=127.0.0.1"]
    argv = [program, "--no-defaults", *options, "--user=root", f"--pid-file={folder}/pid", "--skip-log-bin"]
    process = spawn(argv, folder / "log", {}, cwd=folder)

    def answers() -> bool:
        with contextlib.suppress(pymysql.Error):
            connect_mysql(f"mysql://root@127.0.0.1:{port}/mysql").close()
            return True
        return False

    try:
        wait_for("MariaDB", answers, process, 60)
        with contextlib.closing(connect_mysql(f"mysql://root@127.0.0.1:{port}/mysql")) as connection:
            connection.cursor().execute("CREATE DATABASE shop")
        yield f"mysql://root@127.0.0.1:{port}/shop"
    finally:
        process.kill()
        process.wait()


def connect_mysql(url: str) -> Any:
    port, _, name = url.rpartition(":")[2].partition("/")
    return pymysql.connect(host="127.0.0.1", port=int(port), user="root", database=name)


@pytest.fixture(params=["sqlite", "mysql"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Return the URL of a database with an outbox, and what opens a connection to it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/app.db"
        connect: Callable[[], Any] = partial(sqlite3.connect, tmp_path / "app.db", timeout=10)
    else:
        url = request.getfixturevalue("mysql")
        connect = partial(connect_mysql, url)
    with contextlib.closing(connect()) as connection:
        for statement in ddl(request.param):
            connection.cursor().execute(statement)
    yield url, connect
    with contextlib.closing(connect()) as connection:
        connection.cursor().execute("DROP TABLE jobproc_outbox")


def test_rows_of_committed_transactions_are_jobs(system: System, application: tuple[str, Callable[[], Any]]) -> None:
    system.api()
    url, connect = application
    text = "a 'text' of 4 bytes: \N{GRINNING FACE} 100% ?"
    with contextlib.closing(connect()) as connection:
        Outbox().submit(connection, "square_sum", {"data": [1]})
        connection.rollback()
        rows = [
            Outbox().submit(connection, "square_sum", {"data": [1.10, number]}, metadata={"row": number, "text": text})
            for number in range(120)
        ]
        connection.commit()
    relays = [Relay.to_api(url, f"http://127.0.0.1:{system.port}", settings=QUICK).start() for _ in range(2)]

    def accepted() -> list[tuple[str, str]]:
        with contextlib.closing(connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT id, job_id FROM jobproc_outbox WHERE sent_at IS NOT NULL ORDER BY id")
            return [tuple(row) for row in cursor.fetchall()]

    until("all are accepted", lambda: len(accepted()) == 120)
    for relay in relays:
        relay.stop()
    assert {row for row, _ in accepted()} == set(rows)
    jobs = system.database.rows("SELECT id::text, metadata->>'row', metadata->>'text' FROM jobs ORDER BY 1")
    assert {job for _, job in accepted()} == {job for job, _, _ in jobs}
    assert sorted(int(number) for _, number, _ in jobs) == list(range(120))
    assert {found for _, _, found in jobs} == {text}

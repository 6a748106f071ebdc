"""Runs of `python -m common.migrate`: alone, twice at once, killed, kept waiting, without a database."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from migrations.catalogue import everything, schema
from rig.fork_server import ROOT
from rig.system import Database, until
from sqlalchemy.exc import OperationalError

from common.migrate import migrate
from common.settings import Settings
from tools.servers import free_port

Start = Callable[..., "Run"]


class Run:
    """A process of the migrations; what it says goes to a file."""

    def __init__(self, folder: Path, url: str, *arguments: str, **settings: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("JOBPROC_") or name == "JOBPROC_DATABASE_POOLER"}
        env |= {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0", "PYTHONPATH": str(ROOT), "JOBPROC_LOCK_TIMEOUT_SECONDS": "0.2", **settings}
        self._log = folder / f"run{len(list(folder.iterdir()))}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, *(arguments or ("-m", "common.migrate"))], stdout=log, stderr=log, cwd=folder, env=env)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ends(self, limit_s: float = 30) -> int:
        return self.process.wait(limit_s)

    @property
    def said(self) -> list[str]:
        """The lines for people: everything but the log."""
        return [line for line in self.log.splitlines() if not line.startswith("{")]

    def refuses(self, *words: str) -> None:
        """Expect an exit code that says no, and one sentence that says why."""
        assert self.ends() == 1
        assert len(self.said) == 1, self.log
        assert self.said[0].startswith("migrate: ")
        for word in words:
            assert word in self.said[0]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start runs; whatever still runs ends with the test."""
    runs: list[Run] = []

    def begin(url: str, *arguments: str, **settings: str) -> Run:
        runs.append(Run(tmp_path, url, *arguments, **settings))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.wait()


def test_two_at_once_on_an_empty_database_both_succeed(start: Start, empty_database_url: str, database_url: str) -> None:
    both = {"JOBPROC_LOCK_TIMEOUT_SECONDS": "20", "JOBPROC_FAILPOINTS": "migrate.mid=sleep:0.7"}  # so that they surely meet
    runs = [start(empty_database_url, **both) for _ in range(2)]
    assert [run.ends() for run in runs] == [0, 0], runs[0].log + runs[1].log
    assert schema(empty_database_url) == schema(database_url)
    assert Database(empty_database_url).one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass") == 5


def test_one_that_is_killed_midway_leaves_a_database_that_the_next_one_finishes(start: Start, empty_database_url: str, database_url: str) -> None:
    killed = start(empty_database_url, JOBPROC_FAILPOINTS="migrate.mid=kill")
    assert killed.ends() < 0
    assert schema(empty_database_url)["tables"] == [], "a migration is there as a whole or not at all"
    assert start(empty_database_url).ends() == 0
    assert schema(empty_database_url) == schema(database_url)


def test_one_that_hangs_keeps_the_others_waiting_and_they_go_on_when_it_is_gone(start: Start, empty_database_url: str, database_url: str) -> None:
    hangs = start(empty_database_url, JOBPROC_FAILPOINTS="migrate.mid=stop")
    until("it has stopped", lambda: "T" in Path(f"/proc/{hangs.process.pid}/stat").read_text().rpartition(")")[2].split()[0])
    waits = start(empty_database_url)
    until("the other waits", lambda: "migrate_waits" in waits.log)
    assert waits.process.poll() is None
    hangs.process.kill()
    assert waits.ends() == 0
    assert schema(empty_database_url) == schema(database_url)


def test_a_second_run_changes_nothing(start: Start, database_url: str) -> None:
    before = everything(database_url)
    assert start(database_url).ends() == 0
    assert everything(database_url) == before


def test_a_partition_that_is_missing_is_made_by_the_next_run(settings: Settings) -> None:
    database = Database(settings.database_url)
    (name,) = database.rows("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'jobs'::regclass")[0]
    database.rows(f"DROP TABLE {name}")
    migrate(settings)
    assert database.one("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'jobs'::regclass") == name
    database.close()


def test_it_yields_to_a_lock_instead_of_stopping_everybody_behind_it(settings: Settings) -> None:
    impatient = settings.model_copy(update={"lock_timeout_seconds": 0.2})
    before = everything(settings.database_url)
    holder = psycopg2.connect(settings.database_url)
    holder.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    with pytest.raises(OperationalError):
        migrate(impatient)
    assert time.monotonic() - began < 2
    holder.close()
    assert everything(settings.database_url) == before
    migrate(impatient)


def test_it_tries_again_until_the_lock_is_to_be_had(start: Start, database_url: str) -> None:
    holder = psycopg2.connect(database_url)
    holder.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
    run = start(database_url)
    until("it waits", lambda: "migrate_waits" in run.log)
    holder.close()
    assert run.ends() == 0
    assert "lock timeout" in run.log


def test_without_a_database_it_ends_with_one_sentence(start: Start) -> None:
    """Two tries instead of thirty: each is followed by a second's pause."""
    twice = "import sys; from common import migrate; sys.argv = ['migrate']; migrate.TRIES = 2; migrate.main()"
    port = free_port()
    run = start(f"postgresql://postgres@127.0.0.1:{port}/nowhere", "-c", twice)
    run.refuses(str(port))
    assert run.log.count("migrate_waits") == 1


def test_bad_settings_end_it_at_once_with_one_sentence(start: Start) -> None:
    start("mysql://127.0.0.1/nowhere", JOBPROC_PARTITION_DAYS="0").refuses("DATABASE_URL", "JOBPROC_PARTITION_DAYS")


def test_a_schema_of_a_later_version_ends_it_without_a_traceback(start: Start, database_url: str) -> None:
    """A roll-back starts the older version's migrations on the newer schema."""
    Database(database_url).rows("UPDATE alembic_version SET version_num = '9999'")
    run = start(database_url)
    if run.ends() != 0:
        run.refuses("9999")


def test_waiting_applies_nothing_and_ends_when_somebody_else_has_migrated(start: Start, empty_database_url: str) -> None:
    waits = start(empty_database_url, "-m", "common.migrate", "--wait", "30")
    until("it has started", lambda: "starting" in waits.log)
    assert schema(empty_database_url)["tables"] == []
    assert start(empty_database_url).ends() == 0
    assert waits.ends() == 0


def test_waiting_for_a_schema_that_does_not_come_ends_with_one_sentence(start: Start, empty_database_url: str) -> None:
    nowhere = start(f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere", "-m", "common.migrate", "--wait", "0.1")
    start(empty_database_url, "-m", "common.migrate", "--wait", "0.1").refuses("there is none")
    nowhere.refuses("0.1 s")

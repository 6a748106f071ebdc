"""Runs of `python -m common.migrate`: alone, two at once, killed, blocked."""

import time
from pathlib import Path

import psycopg2
import pytest
from migrations.catalogue import all_rows_and_files, schema
from migrations.run import Start
from rig.system import Database, until
from sqlalchemy.exc import OperationalError

from common.migrate import migrate
from common.settings import Settings


def test_two_runs_at_once_on_an_empty_database_both_succeed(
    start: Start, empty_database_url: str, database_url: str
) -> None:
    settings = {
        "JOBPROC_LOCK_TIMEOUT_SECONDS": "20",
        "JOBPROC_FAILPOINTS": "migrate.mid=sleep:0.7",  # so that they certainly overlap
    }
    runs = [start(empty_database_url, **settings) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0], runs[0].log + runs[1].log
    assert schema(empty_database_url) == schema(database_url)
    assert (
        Database(empty_database_url).value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass") == 5
    )


def test_a_run_that_is_killed_midway_leaves_a_database_that_the_next_run_completes(
    start: Start, empty_database_url: str, database_url: str
) -> None:
    killed = start(empty_database_url, JOBPROC_FAILPOINTS="migrate.mid=kill")
    assert killed.wait() < 0
    assert schema(empty_database_url)["tables"] == [], "a migration is committed as a whole or not at all"
    assert start(empty_database_url).wait() == 0
    assert schema(empty_database_url) == schema(database_url)


def test_a_run_that_hangs_blocks_the_others_until_it_is_killed(
    start: Start, empty_database_url: str, database_url: str
) -> None:
    hanging = start(empty_database_url, JOBPROC_FAILPOINTS="migrate.mid=stop")
    until(
        "the first run has stopped",
        lambda: "T" in Path(f"/proc/{hanging.process.pid}/stat").read_text().rpartition(")")[2].split()[0],
    )
    waiting = start(empty_database_url)
    until("the second run waits", lambda: "startup_waiting" in waiting.log)
    assert waiting.process.poll() is None
    hanging.process.kill()
    assert waiting.wait() == 0
    assert schema(empty_database_url) == schema(database_url)


def test_a_second_run_changes_nothing(start: Start, database_url: str) -> None:
    before = all_rows_and_files(database_url)
    assert start(database_url).wait() == 0
    assert all_rows_and_files(database_url) == before


def test_a_missing_partition_is_created_by_the_next_run(settings: Settings) -> None:
    newest = "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'jobs'::regclass"
    database = Database(settings.database_url)
    name = database.value(newest)
    database.rows(f"DROP TABLE {name}")
    migrate(settings)
    assert database.value(newest) == name
    database.close()


def test_a_run_gives_up_on_a_lock_instead_of_blocking_others_behind_it(settings: Settings) -> None:
    impatient = settings.model_copy(update={"lock_timeout_seconds": 0.2})
    before = all_rows_and_files(settings.database_url)
    holder = psycopg2.connect(settings.database_url)
    holder.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
    began = time.monotonic()
    with pytest.raises(OperationalError):
        migrate(impatient)
    assert time.monotonic() - began < 2
    holder.close()
    assert all_rows_and_files(settings.database_url) == before
    migrate(impatient)


def test_a_run_tries_again_until_it_gets_the_lock(start: Start, database_url: str) -> None:
    holder = psycopg2.connect(database_url)
    holder.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
    run = start(database_url)
    until("the run waits", lambda: "startup_waiting" in run.log)
    holder.close()
    assert run.wait() == 0
    assert "lock timeout" in run.log


def test_invalid_settings_end_a_run_at_once_with_one_sentence(start: Start) -> None:
    start("mysql://127.0.0.1/nowhere", JOBPROC_PARTITION_DAYS="0").expect_refusal(
        "DATABASE_URL", "JOBPROC_PARTITION_DAYS"
    )


def test_a_schema_of_a_later_version_ends_a_run_without_a_traceback(start: Start, database_url: str) -> None:
    """A roll-back runs the older version's migrations on the newer schema."""
    Database(database_url).rows("UPDATE alembic_version SET version_num = '9999'")
    run = start(database_url)
    if run.wait() != 0:
        run.expect_refusal("9999")


def test_a_waiting_run_applies_nothing_and_ends_after_another_run_has_migrated(
    start: Start, empty_database_url: str
) -> None:
    waiting = start(empty_database_url, "--wait", "30")
    until("the waiting run has started", lambda: "starting" in waiting.log)
    assert schema(empty_database_url)["tables"] == []
    assert start(empty_database_url).wait() == 0
    assert waiting.wait() == 0

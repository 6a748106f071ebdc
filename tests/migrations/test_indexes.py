"""Indexes that come to partitions which are there already: beside writers, two runs at once, after one that was broken off."""

import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module

import pytest
from integration.store.support.storage import Storage, old_period
from rig.system import until

from common.migrate import migrate
from common.settings import Settings
from common.store.schema import indexes, partitions

INDEXES = ("outcomes_unsuccessful_id", "outcomes_unsuccessful_finished_at")
LATER = "DROP TABLE actions, action_jobs; ALTER TABLE reruns DROP COLUMN undo"  # takes back what later migrations bring
PARTS = """SELECT i.relname, count(a.inhrelid) FILTER (WHERE x.indisvalid), (SELECT indisvalid FROM pg_index WHERE indexrelid = i.oid)
           FROM pg_class i LEFT JOIN pg_inherits a ON a.inhparent = i.oid LEFT JOIN pg_index x ON x.indexrelid = a.inhrelid
           WHERE i.relname = ANY (%s) GROUP BY 1, i.oid"""


@pytest.fixture
def before(settings: Settings) -> Iterator[Storage]:
    """A database of the version before, with partitions, one of them with rows."""
    storage = Storage(settings)
    for index in INDEXES:
        storage.rows(f"DROP INDEX {index}")
    old_period(storage, 3)
    storage.rows("UPDATE alembic_version SET version_num = '0003'")
    storage.submit(3)
    yield storage
    storage.close()


def _partitions(storage: Storage) -> int:
    return int(storage.one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'outcomes'::regclass"))


def _whole(storage: Storage) -> bool:
    """Whether each partition has each index, valid, and so has the table."""
    return sorted(storage.rows(PARTS, (list(INDEXES),))) == sorted((index, _partitions(storage), True) for index in INDEXES)


def test_partitions_that_are_there_get_theirs_and_so_do_later_ones(before: Storage) -> None:
    before.rows(LATER)
    migrate(before.settings)
    assert _whole(before)
    with before.engine.begin() as connection:
        assert partitions.create_missing(connection, 1, 6)
    assert _whole(before)


def test_partitions_that_are_made_before_the_others_have_theirs_get_them_too(before: Storage) -> None:
    """By a controller of either version, between the migration and its end."""
    before.rows(import_module("common.migrations.versions.0004_find").INDEXES)
    with before.engine.begin() as connection:
        assert partitions.create_missing(connection, 1, 6)
    assert indexes.create_missing(before.engine, before.settings)
    assert _whole(before)


def test_writers_go_on_while_they_are_made_and_a_long_transaction_only_delays_them(before: Storage) -> None:
    late = before.session()
    impatient = before.settings.model_copy(update={"lock_timeout_seconds": 0.2})
    before.rows("CREATE INDEX outcomes_unsuccessful_id ON ONLY outcomes (id) WHERE status <> 'SUCCESS'")
    late.cursor().execute("INSERT INTO outcomes (id, epoch, attempt, released, rev, status) VALUES (uuidv7(), 0, 0, 0, 1, 'CANCELLED')")
    making = before.begin(partial(indexes.create_missing, before.engine, impatient))
    until("it waits", lambda: before.one("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%%' AND wait_event_type = 'Lock'"))
    claimer = before.claimer()
    began = time.monotonic()
    assert len(claimer.settle(claimer.claim(3))) == 3
    assert time.monotonic() - began < 1, "nobody waits behind it"
    late.commit()
    assert making.result(20) == _partitions(before)


def test_two_runs_at_once_make_them_once(before: Storage) -> None:
    before.rows(LATER)
    runs = [before.begin(partial(migrate, before.settings.model_copy(update={"lock_timeout_seconds": 20}))) for _ in range(2)]
    assert [run.result(60) for run in runs] == [None, None]
    assert _whole(before)


def test_what_a_run_left_half_made_is_made_anew(before: Storage) -> None:
    before.rows("CREATE INDEX outcomes_unsuccessful_id ON ONLY outcomes (id) WHERE status <> 'SUCCESS'")
    (partition,) = before.rows("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outcomes'::regclass")[0]
    before.rows(f"CREATE INDEX {partition}_unsuccessful_id ON {partition} (id) WHERE status <> 'SUCCESS'")
    before.rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"{partition}_unsuccessful_id",))
    before.rows("CREATE INDEX outcomes_unsuccessful_finished_at ON ONLY outcomes (finished_at, id) WHERE status <> 'SUCCESS'")
    assert indexes.create_missing(before.engine, before.settings) == 2 * _partitions(before)
    assert _whole(before)

"""New indexes for existing partitions: with concurrent writers, in two runs at once, after an interrupted run."""

import time
from collections.abc import Iterator
from functools import partial

import pytest
from integration.store.support.storage import Storage, old_period
from rig.system import until

from common.migrate import migrate
from common.settings import Settings
from common.store.schema import indexes, partitions

INDEXES = ("outcomes_unsuccessful_id", "outcomes_unsuccessful_finished_at")
#: What a migration does for a new index: it creates the index for the table alone.
ON_ONLY = """
CREATE INDEX outcomes_unsuccessful_id ON ONLY outcomes (id) WHERE status <> 'SUCCESS';
CREATE INDEX outcomes_unsuccessful_finished_at ON ONLY outcomes (finished_at, id) WHERE status <> 'SUCCESS'
"""
#: By index of the table: how many partitions have a valid one, and whether that of the table is valid.
COVERAGE = """
SELECT i.relname, count(a.inhrelid) FILTER (WHERE x.indisvalid),
       (SELECT indisvalid FROM pg_index WHERE indexrelid = i.oid)
FROM pg_class i LEFT JOIN pg_inherits a ON a.inhparent = i.oid LEFT JOIN pg_index x ON x.indexrelid = a.inhrelid
WHERE i.relname = ANY (%s) GROUP BY 1, i.oid
"""


@pytest.fixture
def unindexed(settings: Settings) -> Iterator[Storage]:
    """A database right after a migration has added the indexes: its partitions, one with rows, lack theirs."""
    storage = Storage(settings)
    old_period(storage, 3)
    storage.submit(3)
    for index in INDEXES:
        storage.rows(f"DROP INDEX {index}")
    storage.rows(ON_ONLY)
    assert not _complete(storage)
    yield storage
    storage.close()


def _partitions(storage: Storage) -> int:
    return int(storage.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'outcomes'::regclass"))


def _complete(storage: Storage) -> bool:
    """Return True if the table and each partition have both indexes, and all are valid."""
    return sorted(storage.rows(COVERAGE, (list(INDEXES),))) == sorted(
        (index, _partitions(storage), True) for index in INDEXES
    )


def test_a_migration_completes_the_indexes_of_existing_partitions_and_later_partitions_have_them(
    unindexed: Storage,
) -> None:
    migrate(unindexed.settings)
    assert _complete(unindexed)
    with unindexed.engine.begin() as connection:
        assert partitions.create_missing(connection, 1, 6)
    assert _complete(unindexed)


def test_partitions_that_are_created_before_the_indexes_are_complete_get_them_too(unindexed: Storage) -> None:
    """A controller of either version may create them between the migration and the end of its run."""
    with unindexed.engine.begin() as connection:
        assert partitions.create_missing(connection, 1, 6)
    assert indexes.create_missing(unindexed.engine, unindexed.settings)
    assert _complete(unindexed)


def test_writers_continue_during_the_creation_and_a_long_transaction_only_delays_it(unindexed: Storage) -> None:
    long_transaction = unindexed.session()
    impatient = unindexed.settings.model_copy(update={"lock_timeout_seconds": 0.2})
    long_transaction.cursor().execute(
        "INSERT INTO outcomes (id, run, attempt, released, rev, status) VALUES (uuidv7(), 0, 0, 0, 1, 'CANCELLED')"
    )
    creation = unindexed.begin(partial(indexes.create_missing, unindexed.engine, impatient))
    until(
        "the creation waits",
        lambda: unindexed.value(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%%' AND wait_event_type = 'Lock'"
        ),
    )
    claimer = unindexed.claimer()
    began = time.monotonic()
    assert len(claimer.settle(claimer.claim(3))) == 3
    assert time.monotonic() - began < 1, "no writer waits behind it"
    long_transaction.commit()
    assert creation.result(20) == 2 * _partitions(unindexed)
    assert _complete(unindexed)


def test_two_runs_at_once_create_each_index_once(unindexed: Storage) -> None:
    runs = [
        unindexed.begin(partial(migrate, unindexed.settings.model_copy(update={"lock_timeout_seconds": 20})))
        for _ in range(2)
    ]
    assert [run.result(60) for run in runs] == [None, None]
    assert _complete(unindexed)


def test_an_invalid_index_of_an_interrupted_run_is_created_again(unindexed: Storage) -> None:
    (partition,) = unindexed.rows(
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outcomes'::regclass"
    )[0]
    unindexed.rows(f"CREATE INDEX {partition}_unsuccessful_id ON {partition} (id) WHERE status <> 'SUCCESS'")
    unindexed.rows(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (f"{partition}_unsuccessful_id",)
    )
    assert indexes.create_missing(unindexed.engine, unindexed.settings) == 2 * _partitions(unindexed)
    assert _complete(unindexed)

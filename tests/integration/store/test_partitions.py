"""Partitions: created ahead of time, once, without blocking readers and writers."""

from functools import partial

import pytest
from integration.store.support.storage import Storage
from rig.system import until
from sqlalchemy.exc import OperationalError

from common.store.schema import partitions
from common.store.schema.partitions import DAY_MS, TABLES, Period


def _periods(storage: Storage) -> dict[str, list[Period]]:
    with storage.engine.begin() as connection:
        return {table: partitions.periods(connection, table) for table in TABLES}


def _create(storage: Storage, days: int = 1, ahead: int = 3) -> list[Period]:
    with storage.engine.begin() as connection:
        return partitions.create_missing(connection, days, ahead)


def test_the_three_tables_have_the_same_periods_and_the_next_days_are_covered(storage: Storage) -> None:
    periods = _periods(storage)
    assert periods["jobs"] == periods["outcomes"] == periods["attempts"]
    now_ms = int(storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    for moment in (now_ms - DAY_MS, now_ms, now_ms + storage.settings.partitions_ahead * DAY_MS):
        assert any(period.start <= moment < period.end for period in periods["jobs"])


def test_a_second_creation_creates_nothing(storage: Storage) -> None:
    _create(storage)  # midnight may have passed since the database was created
    before = _periods(storage)
    assert _create(storage) == []
    assert _periods(storage) == before


def test_a_longer_lead_creates_only_missing_partitions(storage: Storage) -> None:
    _create(storage)
    created = _create(storage, ahead=5)
    assert [period.suffix for period in created] == sorted(period.suffix for period in created)
    assert len(created) == 2
    assert _create(storage, ahead=5) == []


@pytest.mark.parametrize("days", [2, 7, 30])
def test_after_a_change_of_size_every_day_has_one_partition_and_jobs_can_be_stored(storage: Storage, days: int) -> None:
    _create(storage, days=days, ahead=2)
    periods = _periods(storage)
    assert periods["jobs"] == periods["outcomes"] == periods["attempts"]
    now_ms = int(storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    for later in range(2 * days):
        moment = now_ms + later * DAY_MS
        assert len([p for p in periods["jobs"] if p.start <= moment < p.end]) == 1, f"{later} days from now"
    storage.store(*[storage.new(ago_s=-later * DAY_MS / 1000) for later in range(2 * days)])
    assert _create(storage, days=days, ahead=2) == []


def test_two_sessions_at_once_create_partitions_once(storage: Storage) -> None:
    _create(storage)
    with storage.engine.connect() as first, storage.engine.connect() as second:
        created = partitions.create_missing(first, 1, 6)
        assert len(created) == 3
        again = storage.begin(partial(partitions.create_missing, second, 1, 6))
        assert second.connection.driver_connection is not None
        storage.until_blocked(second.connection.driver_connection.info.backend_pid)
        first.commit()
        assert again.result(10) == []
        second.commit()


def test_a_session_blocked_for_the_lock_timeout_gives_up(storage: Storage) -> None:
    impatient = Storage(storage.settings.model_copy(update={"lock_timeout_seconds": 0.1}))
    with storage.engine.connect() as first:
        partitions.create_missing(first, 1, 6)
        with pytest.raises(OperationalError), impatient.engine.begin() as second:
            partitions.create_missing(second, 1, 6)
    impatient.close()


def test_creation_neither_waits_for_readers_writers_and_claims_nor_blocks_them(storage: Storage) -> None:
    """ATTACH PARTITION takes a lock that conflicts with none of theirs."""
    _create(storage)
    storage.submit(3)
    claimer, late = storage.claimer(), storage.session()
    late.cursor().execute(
        """INSERT INTO jobs (id, operation, queue, input, max_attempts)
           VALUES (uuidv7(), 'square_sum', 'default', '{}', 3)"""
    )
    reader = storage.session()
    reader.cursor().execute("SELECT count(*) FROM job_states")
    with storage.engine.connect() as maker, claimer.connection.transaction():
        jobs = claimer.claim(2)
        claimer.settle(jobs)
        assert len(partitions.create_missing(maker, 1, 6)) == 3
        storage.submit()
        assert storage.state(jobs[0].id) == "PENDING"
        maker.commit()
    late.commit()
    reader.rollback()


def test_prepared_statements_work_on_new_partitions(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    claimer.settle(claimer.claim())
    _create(storage, ahead=6)
    (new,) = storage.new(ago_s=-5 * DAY_MS / 1000)
    storage.store([new])
    assert claimer.settle(claimer.claim()) == {str(new.id)}
    assert until("the job is readable", lambda: storage.state(str(new.id))) == "SUCCESS"

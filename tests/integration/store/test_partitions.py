"""Partitions: made ahead, once, without stopping anybody; a lookup by id finds its own."""

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


def _make(storage: Storage, days: int = 1, ahead: int = 3) -> list[Period]:
    with storage.engine.begin() as connection:
        return partitions.create_missing(connection, days, ahead)


def test_the_three_tables_have_the_same_periods_and_the_next_days_are_covered(storage: Storage) -> None:
    found = _periods(storage)
    assert found["jobs"] == found["outcomes"] == found["attempts"]
    now_ms = int(storage.one("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    for moment in (now_ms - DAY_MS, now_ms, now_ms + storage.settings.partitions_ahead * DAY_MS):
        assert any(period.start <= moment < period.end for period in found["jobs"])


def test_making_them_again_makes_nothing(storage: Storage) -> None:
    _make(storage)  # where midnight has passed since the database was made
    before = _periods(storage)
    assert _make(storage) == []
    assert _periods(storage) == before


def test_more_ahead_makes_only_what_is_missing(storage: Storage) -> None:
    _make(storage)
    made = _make(storage, ahead=5)
    assert [period.suffix for period in made] == sorted(period.suffix for period in made)
    assert len(made) == 2
    assert _make(storage, ahead=5) == []


@pytest.mark.parametrize("days", [2, 7, 30])
def test_after_a_change_of_size_every_day_has_one_partition_and_jobs_can_be_stored(storage: Storage, days: int) -> None:
    _make(storage, days=days, ahead=2)
    found = _periods(storage)
    assert found["jobs"] == found["outcomes"] == found["attempts"]
    now_ms = int(storage.one("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
    for later in range(2 * days):
        moment = now_ms + later * DAY_MS
        assert len([p for p in found["jobs"] if p.start <= moment < p.end]) == 1, f"{later} days from now"
    storage.store(*[storage.new(ago_s=-later * DAY_MS / 1000) for later in range(2 * days)])
    assert _make(storage, days=days, ahead=2) == []


def test_two_that_make_them_at_once_make_them_once(storage: Storage) -> None:
    _make(storage)
    with storage.engine.connect() as one, storage.engine.connect() as other:
        made = partitions.create_missing(one, 1, 6)
        assert len(made) == 3
        again = storage.begin(partial(partitions.create_missing, other, 1, 6))
        assert other.connection.driver_connection is not None
        storage.until_blocked(other.connection.driver_connection.info.backend_pid)
        one.commit()
        assert again.result(10) == []
        other.commit()


def test_one_that_waits_too_long_for_another_yields(storage: Storage) -> None:
    waiting = Storage(storage.settings.model_copy(update={"lock_timeout_seconds": 0.1}))
    with storage.engine.connect() as one:
        partitions.create_missing(one, 1, 6)
        with pytest.raises(OperationalError), waiting.engine.begin() as other:
            partitions.create_missing(other, 1, 6)
    waiting.close()


def test_making_them_waits_for_no_reader_writer_or_claim_and_stops_none(storage: Storage) -> None:
    """Attaching a table takes no lock that they would conflict with."""
    _make(storage)
    storage.submit(3)
    claimer, late = storage.claimer(), storage.session()
    late.cursor().execute("INSERT INTO jobs (id, operation, queue, input, max_attempts) VALUES (uuidv7(), 'square_sum', 'default', '{}', 3)")
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


def test_prepared_statements_go_on_over_new_partitions(storage: Storage) -> None:
    claimer = storage.claimer()
    storage.submit()
    claimer.settle(claimer.claim())
    _make(storage, ahead=6)
    (new,) = storage.new(ago_s=-5 * DAY_MS / 1000)
    storage.store([new])
    assert claimer.settle(claimer.claim()) == {str(new.id)}
    assert until("it is read", lambda: storage.state(str(new.id))) == "SUCCESS"

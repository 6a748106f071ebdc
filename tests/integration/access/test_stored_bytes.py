"""The bytes that tenants have stored, after retention has deleted jobs, inputs, or most of a day."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from rig.system import Database
from sqlalchemy import Engine

from common.domain.job import new_job_id
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.retention import by_partition, by_row
from common.store.retention.by_partition import RetentionDays
from common.store.retention.stored_bytes import JOB_BYTES
from common.store.schema.partitions import DAY_MS, TABLES, Period
from common.store.tenancy import usage_counts

_JOB = """
WITH new AS (
    INSERT INTO jobs (id, tenant, created_at, operation, queue, input, metadata, max_attempts)
    VALUES (%s, %s, %s, 'square_sum', 'default', %s, %s, 3) RETURNING id)
INSERT INTO outcomes (id, run, attempt, released, rev, status, result, finished_at)
SELECT id, 0, 1, 0, 2, 'SUCCESS', '1', %s FROM new
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = sync_engine(settings, "test")
    yield engine
    engine.dispose()


@pytest.fixture
def day(database: Database) -> Period:
    """Return a day of ten days ago, with forty finished jobs of two tenants, one of which ended today."""
    start = (int(time.time() * 1000) // DAY_MS - 10) * DAY_MS
    period = Period(start, start + DAY_MS)
    first, after = period.bounds
    for table in TABLES:
        database.rows(f"SELECT create_partition('{table}', '{period.suffix}', '{first}', '{after}')")
    at = datetime.fromtimestamp(start / 1000, UTC) + timedelta(hours=5)
    for number in range(40):
        input_ = json.dumps({"data": list(range(number))})
        ended = at if number else datetime.now(UTC)
        job_id = str(new_job_id(start + 5 * 3_600_000 + number, number))
        metadata = json.dumps({"é": number}, ensure_ascii=False)
        database.rows(_JOB, [job_id, 1 + number % 2, at, input_, metadata, ended])
    for tenant in (1, 2):  # as the API has recorded them
        expected = database.value(f"SELECT sum({JOB_BYTES.format('j')}) FROM jobs j WHERE tenant = %s", [tenant])
        database.rows("INSERT INTO stored_bytes (tenant, hour, bytes) VALUES (%s, %s, %s)", [tenant, at, expected])
    return period


def recorded(database: Database) -> dict[int, int]:
    return dict(database.rows("SELECT tenant, sum(bytes)::int FROM stored_bytes GROUP BY 1 HAVING sum(bytes) <> 0"))


def kept(database: Database) -> dict[int, int]:
    return dict(database.rows(f"SELECT tenant, sum({JOB_BYTES.format('j')})::int FROM jobs j GROUP BY 1"))


def test_a_day_that_is_cleared_keeps_the_bytes_of_what_stays(database: Database, engine: Engine, day: Period) -> None:
    assert recorded(database) == kept(database)
    with engine.begin() as connection:
        cutoffs, _ = by_partition.removable_periods(connection, RetentionDays(7, 7, 7))
        assert by_partition.clear_partition(connection, day, cutoffs) == 1
    assert recorded(database) == kept(database)
    assert sum(recorded(database).values()) > 0


@pytest.mark.parametrize("what", ["jobs", "inputs"])
def test_single_deletions_take_their_bytes_off(
    database: Database, settings: Settings, engine: Engine, day: Period, what: str
) -> None:
    with engine.begin() as connection:
        cutoffs, _ = by_partition.removable_periods(connection, RetentionDays(7, 7, 7))
    before = recorded(database)
    worker = WorkerConnection(settings, "test", by_index=True)
    try:
        position = by_row.first_position(day)
        if what == "jobs":
            batch = by_row.delete_past_retention(worker, day, position, 20, cutoffs)
        else:
            batch = by_row.delete_inputs(worker, day, position, 20, cutoffs.success_ms)
    finally:
        worker.close()
    assert batch.deleted == 19
    assert recorded(database) == kept(database) != before


def test_the_rows_of_past_hours_are_added_up(database: Database, engine: Engine, day: Period) -> None:
    database.rows("INSERT INTO tenants (name) VALUES ('second')")
    database.rows("INSERT INTO stored_bytes (tenant, hour, bytes) SELECT tenant, hour, -1 FROM stored_bytes")
    before = recorded(database)
    for _ in range(2):
        with engine.begin() as connection:
            usage_counts.count_bytes(connection)
    assert recorded(database) == before
    assert database.value("SELECT count(*) FROM stored_bytes") == 2
    assert dict(database.rows("SELECT tenant, bytes::int FROM tenant_usage")) == before


def test_bytes_that_are_written_after_the_end_of_their_tenant_are_forgotten(database: Database, engine: Engine) -> None:
    database.rows("INSERT INTO stored_bytes (tenant, hour, bytes) VALUES (1, now(), 5), (77, now(), 5)")
    with engine.begin() as connection:
        usage_counts.count_bytes(connection)
    assert database.rows("SELECT DISTINCT tenant FROM stored_bytes") == [(1,)]
    assert database.rows("SELECT tenant, bytes::int FROM tenant_usage") == [(1, 5)]

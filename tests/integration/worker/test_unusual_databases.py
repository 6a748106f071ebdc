"""A database whose names and defaults are none of the usual ones."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from rig.databases import database
from rig.settings import WITH_ROLES, settings_from
from rig.system import Database, System, until

from common.migrate import migrate
from common.store.schema.partitions import TABLES

REDIS_NUMBER = 50  # first database number in the session's Redis
SCHEMA = "user"  # a word of SQL
DEFAULTS = {
    "search_path": "'nowhere'",
    "timezone": "'Asia/Kolkata'",
    "datestyle": "'German, DMY'",
    "intervalstyle": "'postgres_verbose'",
    "bytea_output": "'escape'",
    "extra_float_digits": "0",
    "default_transaction_isolation": "'repeatable read'",
}
PAST_32_BITS = 3_000_000_000


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run all parts on such a database, in processes whose own time zone is another one."""
    number = REDIS_NUMBER + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database(None) as url:
        redis_url = f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}"
        schema = {"JOBPROC_DATABASE_SCHEMA": SCHEMA}
        system = System(tmp_path_factory.mktemp("unusual"), url, redis_url, TZ="America/New_York", **schema)
        try:
            server, _, name = url.rpartition("/")
            with closing(Database(f"{server}/postgres")) as admin:  # before any session of the database
                for setting, value in DEFAULTS.items():
                    admin.rows(f"ALTER DATABASE {name} SET {setting} = {value}")
                # The superuser is the test, and jobproc only through a pooler.
                admin.rows(f'ALTER ROLE postgres IN DATABASE {name} SET search_path = "{SCHEMA}"')
            migrate(settings_from(url, redis_url, **WITH_ROLES, **schema))
            system.database.rows(f"ALTER TABLE workers ALTER COLUMN id RESTART WITH {PAST_32_BITS}")
            yield system.all()
        finally:
            print("\n".join(system.show_logs()))
            system.close()


def test_jobs_run_and_are_retried_at_once_and_their_times_are_utc(unusual: System) -> None:
    began = datetime.now(UTC)
    for job_id in unusual.submit_many("square_sum", [[0.1 + n] for n in range(200)]):
        assert unusual.wait(job_id)["status"] == "SUCCESS"
    job = unusual.wait(unusual.submit("stumble", 2, 0.1))
    assert (job["result"], job["attempt"]) == (0.1, 3)
    for instant in (job["created_at"], job["finished_at"], job["attempts"][0]["retry_at"]):
        assert instant.endswith("Z")
        assert abs(datetime.fromisoformat(instant) - began) < timedelta(minutes=5)
    schema = unusual.database.rows("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'jobs%'")
    assert schema == [(SCHEMA,)]


def test_both_hours_of_the_end_of_summer_time_are_told_apart(unusual: System) -> None:
    """02:30 in Berlin, twice on the same day."""
    due = []
    for offset in ("+02:00", "+01:00"):
        day = datetime.now(UTC).date() + timedelta(days=30)
        body = {"data": [1], "operation": "square_sum", "run_at": f"{day}T02:30:00{offset}"}
        job = unusual.job(unusual.client.post("/jobs/", json=body).json()["job_id"])
        assert job["status"] == "SCHEDULED", "more than the 24 days of a timer of 32 bits"
        due.append(datetime.fromisoformat(job["run_at"]))
    assert due[1] - due[0] == timedelta(hours=1)


def test_ids_of_workers_may_have_more_than_32_bits(unusual: System) -> None:
    job = unusual.wait(unusual.submit("fall", 1, 5))
    assert (job["result"], job["attempts"][0]["outcome"]) == (5, "lost")
    assert job["worker"] >= PAST_32_BITS


def test_a_submission_whose_partition_is_missing_creates_it(unusual: System) -> None:
    """As after midnight, if no controller has run for days."""
    unusual.end("controller")
    unusual.database.rows("DELETE FROM live")
    for table in TABLES:
        unusual.database.rows(f"DROP TABLE {table}_{datetime.now(UTC):%Y%m%d}")
    response = unusual.client.post("/jobs/", json={"data": [2], "operation": "square_sum", "tags": ["a"]})
    assert response.status_code == 202
    assert unusual.wait(response.json()["job_id"])["result"] == 4
    until("the partition was missing", lambda: unusual.events("api", "partition_missing"))

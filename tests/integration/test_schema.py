"""The schema of its own: beside the tables of an application, and beside a second installation in the same database."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest
from rig import pgbouncer
from rig.pgbouncer import PgBouncer
from rig.settings import WITH_ROLES, settings_from
from rig.system import Database, System, until
from sqlalchemy.exc import OperationalError

from common.store.connection.search_path import TABLES
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.schema.version import wait_for_exclusive

#: Tables, a version table and a function with the names of jobproc's, first in every session's search path.
APPLICATION = """
CREATE SCHEMA application;
CREATE FUNCTION application.create_partition(text, text, uuid, uuid) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the function of the application was called'; END $$;
CREATE FUNCTION application.drop_partitions(text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the function of the application was called'; END $$;
GRANT USAGE ON SCHEMA application TO PUBLIC;
"""
VERSION = "8f3a1c0d9b7e"  # of the application's own migrations
SECOND_REDIS = 30  # number of the first database for second installations in the session's Redis


def add_application(database: Database) -> None:
    """Create an application's tables, and make every new session of the database look there."""
    database.rows(APPLICATION)
    for table in TABLES:
        database.rows(f"CREATE TABLE application.{table} (version_num text)")
        database.rows(f"INSERT INTO application.{table} VALUES ('{VERSION}')")
        database.rows(f"GRANT ALL ON application.{table} TO PUBLIC")
    name = database.value("SELECT quote_ident(current_database())")
    database.rows(f"ALTER DATABASE {name} SET search_path = application")
    database.rows(f"ALTER ROLE postgres IN DATABASE {name} SET search_path = application")


@pytest.fixture(params=["direct", "through a pooler"])
def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_database_url: str
) -> Iterator[str]:
    """Return the URL by which the parts reach the empty database."""
    if request.param == "direct":
        yield empty_database_url
        return
    if reason := pgbouncer.missing():
        pytest.skip(reason)
    parts = urlsplit(empty_database_url)
    assert parts.port is not None
    pooler = PgBouncer(tmp_path_factory.mktemp("bouncer"), parts.port).start()
    yield pooler.url(parts.path.removeprefix("/"))
    pooler.stop()


def test_all_parts_work_beside_an_application_with_tables_of_the_same_names(
    make_system: Callable[..., System], empty_database_url: str, url: str, redis_url: str
) -> None:
    mode = {} if url == empty_database_url else {"JOBPROC_DATABASE_POOLER": "transaction"}
    database = Database(empty_database_url, "jobproc")
    add_application(database)
    system = make_system(url, redis_url, **mode)
    system.database = database
    assert system.spawn("migrate", "common.migrate", **WITH_ROLES).wait(30) == 0, system.log("migrate")
    system.all()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    tagged = {"operation": "square_sum", "data": [1, 2], "tags": ["red"], "keep_seconds": 3_600}
    keyed = tagged | {"unique": {"key": "one", "while": "running"}, "deadline": tomorrow.isoformat()}
    submissions = [tagged, keyed, tagged | {"delay_seconds": 3_600}]
    responses = [system.client.post("/jobs/", json=body) for body in submissions]
    assert [response.status_code for response in responses] == [202] * 3, [response.text for response in responses]
    *jobs, later = (response.json()["job_id"] for response in responses)
    jobs += system.submit_many("square_sum", [[n] for n in range(50)])
    jobs.append(system.submit("stumble", 1, 0.1))
    for job_id in jobs:
        assert system.wait(job_id)["status"] == "SUCCESS"
    assert system.client.post(f"/jobs/{later}/cancel").status_code in (200, 202)
    assert system.client.post(f"/jobs/{later}/retry").status_code == 202
    system.wait(later)
    action = {"action": "cancel", "filter": {"tag": "red"}}
    assert system.client.post("/bulk-actions", json=action).status_code in (200, 201, 202)
    for path in ("status", "result", "input", "explain", ""):
        assert system.client.get(f"/jobs/{later}/{path}".rstrip("/")).status_code == 200, path
    for path in ("/jobs/?tag=red", "/jobs/?status=FAILED", "/stats", "/operations", "/bulk-actions", "/readyz"):
        assert system.client.get(path).status_code == 200, path
    for table in TABLES:
        assert system.database.rows(f"SELECT * FROM application.{table}") == [(VERSION,)], table
    for name in system.processes:
        for event in ("database_unavailable", "request_failed", "claim_failed", "serving_failed", "supervisor_failed"):
            assert not system.events(name, event), (name, event)


def test_two_installations_share_a_database(
    make_system: Callable[..., System], empty_database_url: str, redis_url: str, worker_id: str
) -> None:
    """Each has its own leader, partitions, workers and jobs, also with worker ids that are the same numbers."""
    number = SECOND_REDIS + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    systems = {}
    for schema, redis in (("first", redis_url), ("second", f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")):
        systems[schema] = make_system(empty_database_url, redis, JOBPROC_DATABASE_SCHEMA=schema)
        systems[schema].database = Database(empty_database_url, schema)
    runs = [system.spawn("migrate", "common.migrate", **WITH_ROLES) for system in systems.values()]
    assert [run.wait(30) for run in runs] == [0, 0], [system.log("migrate") for system in systems.values()]
    for system in systems.values():
        system.all()
        system.controller("standby")
    jobs = {schema: system.submit_many("square_sum", [[n] for n in range(100)]) for schema, system in systems.items()}
    for schema, system in systems.items():
        system.wait_all()
        found = {job_id for (job_id,) in system.database.rows("SELECT id::text FROM outcomes")}
        assert found == set(jobs[schema])
        until(
            "a controller leads",
            partial(system.database.rows, "SELECT holder FROM leaders WHERE until > now()"),
        )
        assert system.database.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass") == 5
        assert system.client.get(f"/jobs/{jobs[schema][0]}").status_code == 200
    assert systems["first"].client.get(f"/jobs/{jobs['second'][0]}").status_code == 404
    (first,), (second,) = (system.database.rows("SELECT holder FROM leaders") for system in systems.values())
    assert first != second


def test_an_installation_waits_for_no_lock_of_another_one(empty_database_url: str, redis_url: str) -> None:
    holder, other, same = (
        sync_engine(
            settings_from(
                empty_database_url, redis_url, JOBPROC_DATABASE_SCHEMA=schema, JOBPROC_LOCK_TIMEOUT_SECONDS="0.2"
            ),
            "test",
        )
        for schema in ("first", "second", "first")
    )
    with closing(Database(empty_database_url)) as database:
        database.rows("CREATE SCHEMA first; CREATE SCHEMA second")
    with holder.begin() as holding, other.begin() as passing, same.begin() as waiting:
        wait_for_exclusive(holding, "partitions")
        wait_for_exclusive(passing, "partitions")
        with pytest.raises(OperationalError, match="lock timeout"):
            wait_for_exclusive(waiting, "partitions")
    for engine in (holder, other, same):
        engine.dispose()

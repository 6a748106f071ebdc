"""The roles of the parts: each may do what its part does, and nothing else. Other tests run the parts under them."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import psycopg2.errors
import pytest
from rig.settings import ROLE_PREFIX
from rig.system import SUPERUSER, Database, System, until

from common.models import Base
from common.store.schema.partitions import TABLES
from common.store.schema.roles import PARTS, RIGHTS, VIEW

DENIED = psycopg2.errors.InsufficientPrivilege
THROUGH_POOLER = os.environ.get("JOBPROC_DATABASE_POOLER") == "transaction"
#: What an attacker would try with the password of a part.
FORBIDDEN = {
    "api": [
        "UPDATE jobs SET input = '{}'",
        "UPDATE jobs SET operation = 'x'",
        "DELETE FROM jobs",
        "UPDATE live SET worker = 1",
        "UPDATE live SET priority = 0",
        "DELETE FROM outcomes",
        "UPDATE outcomes SET result = '1'",
        "INSERT INTO attempts SELECT * FROM attempts",
        "INSERT INTO job_logs SELECT * FROM job_logs",
        "DELETE FROM job_logs",
        "INSERT INTO operations (name) VALUES ('x')",
        "UPDATE workers SET ended_at = now()",
        f"ALTER ROLE {ROLE_PREFIX}_controller PASSWORD 'x'",
        "UPDATE bulk_actions SET filter = '{}'",
        "DELETE FROM bulk_action_jobs",
        "UPDATE schedule_fires SET job = NULL",
        "SELECT secret FROM webhook_secrets",
        "UPDATE webhook_secrets SET secret = ''",
        "SELECT FROM webhook_sweeps",
        "DELETE FROM schedule_fires",
        "UPDATE leaders SET holder = 'me'",
        "SELECT drop_partitions('20260101')",
        "TRUNCATE outcomes",
    ],
    "worker": [
        "UPDATE jobs SET input = '{}'",
        "DELETE FROM jobs",
        "UPDATE webhook_endpoints SET url = 'https://x.example/'",
        "INSERT INTO webhook_endpoints (id) VALUES (uuidv7())",
        "DELETE FROM webhook_secrets",
        "UPDATE live SET cancel_requested = false",
        "UPDATE live SET priority = 0",
        "UPDATE live SET max_attempts = 1000",
        "SELECT result FROM job_states",
        "SELECT error_text FROM outcomes",
        "UPDATE batches SET closed_at = NULL",
        "INSERT INTO batches SELECT * FROM batches",
        "UPDATE outcomes SET result = '1'",
        "DELETE FROM outcomes",
        "DELETE FROM attempts",
        "SELECT lines FROM job_logs",
        "UPDATE job_logs SET lines = '[]'",
        "SELECT FROM idempotency_keys",
        "SELECT FROM tags",
        "SELECT FROM bulk_actions",
        "SELECT FROM schedules",
        "SELECT FROM schedule_fires",
        "DELETE FROM workers",
        "UPDATE workers SET host = 'x'",
        f"ALTER ROLE {ROLE_PREFIX}_controller PASSWORD 'x'",
        "DELETE FROM operations",
        "SELECT FROM leaders",
        "SELECT create_partition('jobs', '20990101', NULL, NULL)",
        "SELECT drop_partitions('20260101')",
        "TRUNCATE live",
    ],
    "controller": [
        "UPDATE jobs SET operation = 'x'",
        "UPDATE outcomes SET result = '1'",
        "UPDATE attempts SET error_text = 'x'",
        "UPDATE job_logs SET lines = '[]'",
        "INSERT INTO operations (name) VALUES ('x')",
        "INSERT INTO workers (pid) VALUES (1)",
        "UPDATE workers SET host = 'x'",
        "DELETE FROM leaders",
        "UPDATE schedules SET job = '{}'",
        "SELECT secret FROM webhook_secrets",
        "UPDATE webhook_endpoints SET url = 'x'",
        "UPDATE schedules SET paused = false",
        "UPDATE schedule_fires SET outcome = 'fired'",
        "DROP TABLE outcomes",
        "ALTER TABLE jobs ADD COLUMN x text",
        "CREATE TRIGGER t BEFORE INSERT ON jobs EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
    "metrics": [
        "SELECT id FROM live",
        "SELECT FROM jobs",
        "SELECT FROM outcomes",
        "SELECT FROM workers",
        "UPDATE live SET queue = 'x'",
        "DELETE FROM live",
    ],
}
FORBIDDEN_TO_ALL = [
    "CREATE TABLE mine (x int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "CREATE ROLE mine SUPERUSER",
    f"ALTER ROLE {ROLE_PREFIX}_owner LOGIN",
    f"SET ROLE {ROLE_PREFIX}_owner",
    "SET ROLE postgres",
    "UPDATE alembic_version SET version_num = '9999'",
    "DROP TABLE live",
    "SELECT rolpassword FROM pg_authid",
]
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
COLUMN_RIGHTS = ("SELECT", "INSERT", "UPDATE", "REFERENCES")


@pytest.fixture
def as_part(database_url: str) -> Iterator[Callable[[str], Database]]:
    """Return a function that connects with the role of a part."""
    connections: dict[str, Database] = {}

    def connect(part: str) -> Database:
        url = database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_{part}@")
        return connections.setdefault(part, Database(url))

    yield connect
    for connection in connections.values():
        connection.close()


@pytest.mark.parametrize("part", PARTS)
def test_a_role_is_refused_what_its_part_does_not_do(as_part: Callable[[str], Database], part: str) -> None:
    for sql in FORBIDDEN[part] + FORBIDDEN_TO_ALL:
        with pytest.raises(DENIED):
            print(sql, as_part(part).rows(sql))


@pytest.mark.parametrize("part", PARTS)
def test_a_role_is_refused_a_setting_of_the_server(database_url: str, part: str) -> None:
    """Not by `Database`, which sets the schema in the same transaction through a pooler."""
    with closing(psycopg2.connect(database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_{part}@"))) as session:
        session.autocommit = True
        with session.cursor() as cursor, pytest.raises(DENIED):
            cursor.execute("ALTER SYSTEM SET log_statement = 'all'")


def _rights(table: str, of_table: dict[str, str]) -> dict[str, set[str] | None]:
    """Return the declared rights on a table; None: on the whole table, else on these columns."""
    parts = re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", of_table.get(table, ""))
    return {right: set(columns.split(", ")) if columns else None for right, columns in parts}


@pytest.mark.parametrize("part", PARTS)
def test_a_role_has_the_declared_rights_on_every_table_and_column_and_no_others(
    as_part: Callable[[str], Database], part: str
) -> None:
    database = as_part(part)
    for table in [*Base.metadata.tables, VIEW]:
        declared = _rights(table, dict(RIGHTS[part]))
        for right in TABLE_RIGHTS:
            expected = right in declared and declared[right] is None
            assert database.value("SELECT has_table_privilege(%s, %s)", (table, right)) is expected, (table, right)
        columns = database.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            (table,),
        )
        for right in COLUMN_RIGHTS:
            allowed = declared.get(right, set())
            for (column,) in columns:
                has = database.value("SELECT has_column_privilege(%s, %s, %s)", (table, column, right))
                assert has is (allowed is None or column in allowed), (table, column, right)


def test_a_new_partition_may_be_cleared_by_the_controller_and_by_no_other_part(
    as_part: Callable[[str], Database],
) -> None:
    bounds = "'00000000-0000-7000-8000-000000000000', '00000001-0000-7000-8000-000000000000'"
    for table, part in zip(TABLES, ("api", "controller") * 3, strict=False):
        as_part(part).rows(f"SELECT create_partition('{table}', '19700101', {bounds})")
        as_part("controller").rows(f"TRUNCATE {table}_19700101")
        for other in ("api", "worker", "metrics"):
            with pytest.raises(DENIED):
                as_part(other).rows(f"TRUNCATE {table}_19700101")
    as_part("controller").rows("SELECT drop_partitions('19700101')")


@pytest.mark.parametrize(
    "arguments", ["'live', '20260101'", "'jobs', 'x'", "'jobs', '20260101; DROP TABLE live'", "NULL, '20260101'"]
)
def test_the_function_for_partitions_creates_nothing_else(as_part: Callable[[str], Database], arguments: str) -> None:
    bounds = "'00000000-0000-7000-8000-000000000000', '00000001-0000-7000-8000-000000000000'"
    with pytest.raises((psycopg2.errors.RaiseException, psycopg2.errors.NullValueNotAllowed)):
        as_part("controller").rows(f"SELECT create_partition({arguments}, {bounds})")


def test_a_temporary_table_does_not_stand_for_a_table_in_the_functions(as_part: Callable[[str], Database]) -> None:
    controller = as_part("controller")
    controller.rows("BEGIN; CREATE TEMP TABLE jobs (id uuid)")
    bounds = "'00000000-0000-7000-8000-000000000000', '00000001-0000-7000-8000-000000000000'"
    controller.rows(f"SELECT create_partition('jobs', '19700101', {bounds})")
    assert controller.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'jobs_19700101'::regclass") > 10
    controller.rows("COMMIT")


def test_the_rig_runs_each_part_with_its_role(system: System) -> None:
    system.all()
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    users = (
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    parts = {(f"{ROLE_PREFIX}_{name}",) for name in ("api", "worker", "controller")}
    if THROUGH_POOLER:
        parts.add(("postgres",))  # the pooler looks for roles, and keeps the test's connections
    until("each part is connected", lambda: set(system.database.rows(users)) == parts)

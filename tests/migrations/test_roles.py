"""The roles that a migration creates: on a new schema, on one that a superuser owns, and without the right to do so."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from migrations.run import Run
from rig.databases import database
from rig.system import Database, until

from common.store.schema.roles import PARTS

PASSWORDS = {f"JOBPROC_{part.upper()}_DATABASE_PASSWORD": f"secret of {part}: '%\\" for part in PARTS}


class Cluster:
    """A database without a schema, and roles of its own. They are dropped at the end."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.prefix = f"roles{uuid.uuid4().hex[:8]}"
        self.database = Database(url)
        self._folder = folder
        self._name = urlsplit(url).path.removeprefix("/")

    def as_role(self, name: str) -> Database:
        return Database(self.url.replace("//postgres@", f"//{self.prefix}_{name}@"))

    def create(self, name: str, attributes: str = "LOGIN") -> Database:
        """Create a role, and connect with it."""
        self.database.rows(f"CREATE ROLE {self.prefix}_{name} {attributes}")
        return self.as_role(name)

    def own(self, attributes: str) -> str:
        """Give the database to a role that is no superuser; return the URL with which it migrates."""
        self.create("admin", f"LOGIN {attributes}").close()
        self.database.rows(f"ALTER DATABASE {self._name} OWNER TO {self.prefix}_admin")
        return self.url.replace("//postgres@", f"//{self.prefix}_admin@")

    def migrate(self, url: str = "", **settings: str) -> Run:
        run = Run(self._folder, url or self.url, **settings)
        assert run.wait() == 0, run.log
        return run

    def with_roles(self, url: str = "", **settings: str) -> Run:
        return self.migrate(url, **{"JOBPROC_DATABASE_ROLES": self.prefix, **PASSWORDS, **settings})

    def owners(self) -> set[str]:
        """Return the owners of the tables, the view and the functions."""
        rows = self.database.rows(
            """SELECT DISTINCT pg_get_userbyid(owner) FROM (
                   SELECT relowner AS owner FROM pg_class
                   WHERE relnamespace = 'jobproc'::regnamespace AND relkind IN ('r', 'p', 'v')
                   UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'jobproc'::regnamespace) o"""
        )
        return {name for (name,) in rows}

    def drop_roles(self) -> None:
        for (name,) in self.database.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"{self.prefix}%",)):
            self.database.rows(f"REASSIGN OWNED BY {name} TO postgres")
            self.database.rows(f"DROP OWNED BY {name} CASCADE")
        # By names, since a role that made another one must go after it.
        for role in (*PARTS, "sql_submit", "app", "owner", "admin"):
            self.database.rows(f"DROP ROLE IF EXISTS {self.prefix}_{role}")
        self.database.close()


@pytest.fixture
def cluster(empty_database_url: str, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(empty_database_url, tmp_path)
    yield cluster
    cluster.drop_roles()


def missing(run: Run) -> list[str]:
    """Return the roles that a run has logged as missing."""
    events = [json.loads(line) for line in run.log.splitlines() if line.startswith("{")]
    (roles,) = [event["roles"] for event in events if event["event"] == "roles_missing"] or [""]
    return roles.split(", ") if roles else []


def can_work(cluster: Cluster) -> bool:
    """Return True if each role can read what its part reads first."""
    for part in PARTS:
        database = cluster.as_role(part)
        database.rows("SELECT version_num FROM alembic_version")
        reads = "SELECT queue_depth('default', 1)" if part == "metrics" else "SELECT queue, claimable_at FROM live"
        database.rows(reads)
        database.close()
    return True


def test_the_roles_of_a_new_schema_are_created_with_their_passwords_and_a_superuser_owns_nothing(
    cluster: Cluster,
) -> None:
    run = cluster.with_roles()
    assert missing(run) == []
    assert can_work(cluster)
    assert cluster.owners() == {f"{cluster.prefix}_owner"}
    assert cluster.database.rows(
        "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE %s AND (rolsuper OR rolcreaterole OR rolcreatedb"
        " OR rolreplication OR rolbypassrls OR rolname LIKE '%%owner')",
        (f"{cluster.prefix}%",),
    ) == [(f"{cluster.prefix}_owner", False)]
    stored = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
    before = cluster.database.value(stored, (f"{cluster.prefix}_api",))
    assert before.startswith("SCRAM-SHA-256$")
    assert "secret of" not in run.log
    cluster.with_roles(JOBPROC_API_DATABASE_PASSWORD="another")  # noqa: S106 - of this test
    assert cluster.database.value(stored, (f"{cluster.prefix}_api",)) != before


def test_roles_are_added_to_a_schema_that_a_superuser_has_made_and_owns(cluster: Cluster) -> None:
    cluster.migrate()
    assert cluster.owners() == {"postgres"}
    cluster.with_roles()
    assert cluster.owners() == {f"{cluster.prefix}_owner"}
    assert can_work(cluster)
    controller = cluster.as_role("controller")
    name = cluster.database.value(
        "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'tags'::regclass"
    )
    controller.rows(f"TRUNCATE {name}")
    controller.close()


def test_a_table_that_is_in_use_is_transferred_by_a_later_try(cluster: Cluster) -> None:
    cluster.migrate()
    holder = psycopg2.connect(cluster.url)
    holder.cursor().execute("SELECT FROM runs")
    run = Run(cluster._folder, cluster.url, JOBPROC_DATABASE_ROLES=cluster.prefix, **PASSWORDS)
    until("the run tries again", lambda: "startup_waiting" in run.log)
    holder.close()
    assert run.wait() == 0
    assert can_work(cluster)
    assert cluster.owners() == {f"{cluster.prefix}_owner"}


@pytest.mark.parametrize("statement", ["ALTER ROLE {role} CONNECTION LIMIT 7", "CREATE ROLE {role}"])
def test_a_role_that_a_migration_of_another_database_changes_meanwhile_is_changed_by_a_later_try(
    cluster: Cluster, statement: str
) -> None:
    """Roles belong to the server, and the lock of a migration to its database."""
    if statement.startswith("ALTER"):
        cluster.with_roles()
    with database(None) as other:
        holder = psycopg2.connect(other)
        holder.cursor().execute(statement.format(role=f"{cluster.prefix}_worker"))
        settings = {"JOBPROC_DATABASE_ROLES": cluster.prefix, "JOBPROC_LOCK_TIMEOUT_SECONDS": "20"}
        run = Run(cluster._folder, cluster.url, **settings, **PASSWORDS)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        until("the run waits for the role", lambda: cluster.database.value(waits))
        holder.commit()
        holder.close()
        assert run.wait() == 0, run.log
    assert "startup_waiting" in run.log
    assert "SCRAM-SHA-256" not in run.log
    assert missing(run) == []
    assert can_work(cluster)


def test_an_owner_that_may_create_roles_needs_no_superuser(cluster: Cluster) -> None:
    url = cluster.own("CREATEROLE")
    assert missing(cluster.with_roles(url)) == []
    assert can_work(cluster)
    assert cluster.owners() == {f"{cluster.prefix}_admin"}
    assert missing(cluster.with_roles(url)) == [], "a second run changes them again"


def test_a_migration_that_may_not_create_roles_says_so_and_goes_on_with_one_role(cluster: Cluster) -> None:
    run = cluster.with_roles(cluster.own(""))
    assert missing(run) == [f"{cluster.prefix}_{part}" for part in PARTS]
    assert "permission denied to create role" in run.log
    assert cluster.owners() == {f"{cluster.prefix}_admin"}


@pytest.mark.parametrize("passwords", [PASSWORDS, {}], ids=["with passwords", "without"])
def test_roles_that_an_administrator_has_created_get_their_rights(cluster: Cluster, passwords: dict[str, str]) -> None:
    for part in PARTS:
        cluster.create(part).close()
    run = cluster.migrate(cluster.own(""), JOBPROC_DATABASE_ROLES=cluster.prefix, **passwords)
    assert missing(run) == []
    assert can_work(cluster)


def test_rights_that_a_role_has_beyond_its_own_are_taken_away(cluster: Cluster) -> None:
    cluster.with_roles()
    role = f"{cluster.prefix}_worker"
    cluster.database.rows(f"GRANT ALL ON jobs, leaders TO {role}; GRANT UPDATE (queue) ON live TO {role}")
    cluster.with_roles()
    assert cluster.database.rows(
        "SELECT has_table_privilege(%(role)s, 'jobs', 'DELETE'), has_table_privilege(%(role)s, 'leaders', 'SELECT'),"
        " has_column_privilege(%(role)s, 'live', 'queue', 'UPDATE')",
        {"role": role},
    ) == [(False, False, False)]


@pytest.mark.parametrize("attributes", ["SUPERUSER", "CREATEROLE"])
def test_the_function_that_submits_belongs_to_a_role_that_may_insert_jobs_alone(
    cluster: Cluster, attributes: str
) -> None:
    url, setting = cluster.own(attributes), {"JOBPROC_SQL_SUBMIT_ROLES": f"{cluster.prefix}_app=default"}
    refused = Run(cluster._folder, url, JOBPROC_DATABASE_ROLES=cluster.prefix, **PASSWORDS, **setting)
    refused.expect_refusal("JOBPROC_SQL_SUBMIT_ROLES", f"roles that PostgreSQL does not have: {cluster.prefix}_app")
    app = cluster.create("app")
    Run(cluster._folder, url, **setting).expect_refusal("needs JOBPROC_DATABASE_ROLES")
    for _ in range(2):
        cluster.with_roles(url, **setting)
        assert app.value("SELECT jobproc.submit('square_sum', '{\"data\": [1]}')")
    assert f"{cluster.prefix}_sql_submit" in cluster.owners()
    cluster.with_roles(url)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        app.value("SELECT jobproc.submit('square_sum', '{\"data\": [1]}')")
    app.close()

"""Row level security: what the API's role sees and stores when a statement forgets the tenant."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import asyncpg
import psycopg2.errors
import pytest
from integration.store.support.storage import Storage
from rig.settings import ROLE_PREFIX, settings_from
from rig.system import SUPERUSER, Database
from sqlalchemy import Connection

from common.domain.job_search import JobSearch
from common.domain.states import State
from common.models import Base
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.caller import for_caller, set_caller
from common.store.connection.lanes import Lane
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing import estimates, index_scan
from common.store.listing.index_scan import ScanLimits
from common.store.listing.job_list import LISTS
from common.store.schema import partitions
from common.store.schema.row_security import ALL, OWN, TABLES, WITHOUT_TENANT

DENIED = psycopg2.errors.InsufficientPrivilege
VIEW = "job_states"
NOT_READ = ("stored_bytes", "webhook_sweeps")  # by the API
OURS, THEIRS = 7, 8
#: One row of each table for a tenant, by a superuser, whom no policy stops.
ROWS = """
INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts)
SELECT id, tenant, 'noop', 'default', '1', 3 FROM d;
INSERT INTO live (id, tenant, queue, max_attempts, claimable_at) SELECT id, tenant, 'default', 3, now() FROM d;
INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status)
SELECT id, tenant, 0, 1, 0, 1, 'CANCELLED' FROM d;
INSERT INTO attempts (id, tenant, run, attempt, worker, started_at, retry_at, outcome, error_type, error_text)
SELECT id, tenant, 0, 1, 1, now(), now(), 'error', 'x', 'x' FROM d;
INSERT INTO runs (id, tenant, run) SELECT id, tenant, 1 FROM d;
INSERT INTO tags (id, tenant, tag) SELECT id, tenant, 'red' FROM d;
INSERT INTO deadlines (id, tenant, at) SELECT id, tenant, now() FROM d;
INSERT INTO expiries (id, tenant, at) SELECT id, tenant, now() FROM d;
INSERT INTO job_logs (id, tenant, run, attempt, last_line, total_bytes, lines)
SELECT id, tenant, 0, 1, 1, 1, '[]' FROM d;
INSERT INTO idempotency_keys (tenant, key, until, ids, digest) SELECT tenant, 'k', now(), '{}', '' FROM d;
INSERT INTO unique_keys (tenant, key, id) SELECT tenant, 'k', id FROM d;
INSERT INTO bulk_actions (
    id, tenant, as_of, count, jobs_per_second, count_is_exact, kind, filter, sample, skipped, not_undone)
SELECT id, tenant, now(), 1, 1, true, 'cancel', '{}', '[]', '{}', '{}' FROM d;
INSERT INTO batches (id, last, place, tenant) SELECT id, id, id, tenant FROM d;
INSERT INTO added_parents (child, adder, tenant, parents) SELECT id, id, tenant, '{}' FROM d;
INSERT INTO bulk_action_jobs (bulk_action, id, tenant, run) SELECT id, id, tenant, 0 FROM d;
INSERT INTO audit_entries (id, tenant, subject, address, request_id, action, thing, details)
SELECT id, tenant, 'key:k', '', 'r', 'job.cancel', id::text, '{}' FROM d;
INSERT INTO schedules (
    id, tenant, name, cron, zone, overlap, catch_up, catch_up_within_s, catch_up_max_runs, jitter_s, job)
SELECT id, tenant, 's', '@daily', 'UTC', 'allow', 'last', 1, 1, 0, '{}' FROM d;
INSERT INTO schedule_fires (schedule, at, tenant, outcome) SELECT id, now(), tenant, 'skipped' FROM d;
INSERT INTO queue_policies (queue, tenant, rev) SELECT 'q', tenant, 1 FROM d;
INSERT INTO feeds (tenant) SELECT tenant FROM d;
INSERT INTO feed_pages (tenant, first_number, last_number, changes) SELECT tenant, 1, 1, '[{}]' FROM d;
INSERT INTO feed_changes (tenant, job, run, attempt, rev, queue) SELECT tenant, id, 0, 0, 0, 'q' FROM d;
INSERT INTO queue_slots (queue, tenant, n) SELECT 'q', tenant, 1 FROM d;
INSERT INTO concurrency_keys (queue, tenant, key) SELECT 'q', tenant, 'k' FROM d;
INSERT INTO stored_bytes (tenant, hour, bytes) SELECT tenant, now(), 1 FROM d;
INSERT INTO webhook_endpoints (id, tenant, max_attempts, url) SELECT id, tenant, 1, '' FROM d;
INSERT INTO webhook_secrets (endpoint, id, tenant, secret) SELECT id, id, tenant, '' FROM d;
"""


@pytest.fixture
def as_part(storage: Storage) -> Iterator[Callable[[str], Database]]:
    """Return a function that connects with the role of a part. Two tenants have a row in each table."""
    storage.rows(
        f"CREATE TABLE d AS SELECT uuidv7() AS id, tenant FROM (VALUES ({OURS}), ({THEIRS})) AS of_(tenant); {ROWS}"
        "DROP TABLE d"
    )
    connections: dict[str, Database] = {}

    def connect(part: str) -> Database:
        url = storage.settings.database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_{part}@")
        return connections.setdefault(part, Database(url))

    yield connect
    for connection in connections.values():
        connection.close()


def test_every_table_has_a_tenant_and_policies_or_a_reason_why_not(storage: Storage) -> None:
    with_tenant = {name for name, table in Base.metadata.tables.items() if "tenant" in table.columns}
    assert with_tenant - set(WITHOUT_TENANT) == set(TABLES)
    assert not set(WITHOUT_TENANT) - set(Base.metadata.tables)
    found = storage.rows(
        """SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
                  array(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1)
        FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"""
    )
    expected = {*TABLES, *(f"{table}_" for table in partitions.TABLES)}
    secured = {name for name, is_secured, policies in found if is_secured and policies == [ALL, OWN]}
    of_tables = {name for name, *_ in found if name not in {*WITHOUT_TENANT, "alembic_version"}}
    assert secured == of_tables
    assert {name for name in expected if not name.endswith("_")} <= of_tables
    assert storage.value("SELECT count(*) FROM pg_class WHERE relname ~ '^jobs_[0-9]{8}$'") > 0


@pytest.mark.parametrize("table", ["outcomes", partitions.AUDIT])
def test_a_partition_that_is_created_later_has_the_policies(storage: Storage, table: str) -> None:
    first, after = "f0000000-0000-0000-0000-000000000000", "f1000000-0000-0000-0000-000000000000"
    storage.rows("SELECT create_partition(%s, '20990101', %s, %s)", (table, first, after))
    policies = "SELECT policyname, roles::text FROM pg_policies WHERE tablename = %s"
    assert storage.rows(policies, (f"{table}_20990101",)) == storage.rows(policies, (table,))
    assert len(storage.rows(policies, (table,))) == 2


@pytest.mark.parametrize("table", [*(table for table in TABLES if table not in NOT_READ), VIEW])
def test_a_read_that_forgets_the_tenant_finds_nothing(as_part: Callable[[str], Database], table: str) -> None:
    api = as_part("api")
    read = f"SELECT tenant FROM {table}"
    assert api.rows(read) == []
    assert api.rows(f"BEGIN; SELECT {set_caller([OURS])}; {read}") == [(OURS,)]
    api.rows("COMMIT")
    assert api.rows(read) == [], "the setting has ended with its transaction"
    assert sorted(api.rows(f"BEGIN; SELECT {set_caller([OURS, THEIRS])}; {read}")) == [(OURS,), (THEIRS,)]
    api.rows("COMMIT")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE live SET cancel_requested = true",
        "DELETE FROM live",
        "UPDATE jobs SET trace = 'x'",
        "UPDATE unique_keys SET key = 'x'",
        "UPDATE idempotency_keys SET key = 'x'",
        "UPDATE bulk_actions SET phase = 'RUNNING'",
        "UPDATE schedules SET paused = true",
        "DELETE FROM schedules",
        "UPDATE webhook_endpoints SET url = 'x'",
        "UPDATE webhook_secrets SET expires_at = now()",
        "DELETE FROM webhook_secrets",
    ],
)
def test_a_change_that_forgets_the_tenant_changes_nothing(as_part: Callable[[str], Database], change: str) -> None:
    api = as_part("api")
    assert api.rows(f"WITH changed AS ({change} RETURNING tenant) SELECT * FROM changed") == []
    changed = f"BEGIN; SELECT {set_caller([OURS])}; {change} RETURNING tenant"
    assert api.rows(changed) == [(OURS,)], "and not that of the other tenant"
    api.rows("ROLLBACK")


@pytest.mark.parametrize(
    "insert",
    [
        "jobs (id, tenant, operation, queue, input, max_attempts) VALUES (uuidv7(), {}, 'noop', 'default', '1', 3)",
        "live (id, tenant, queue, max_attempts, claimable_at) VALUES (uuidv7(), {}, 'default', 3, now())",
        "outcomes (id, tenant, run, attempt, released, rev, status) VALUES (uuidv7(), {}, 0, 1, 0, 1, 'CANCELLED')",
        "runs (id, tenant, run) VALUES (uuidv7(), {}, 1)",
        "tags (id, tenant, tag) VALUES (uuidv7(), {}, 'x')",
        "deadlines (id, tenant, at) VALUES (uuidv7(), {}, now())",
        "expiries (id, tenant, at) VALUES (uuidv7(), {}, now())",
        "unique_keys (tenant, key, id) VALUES ({}, 'new', uuidv7())",
        "idempotency_keys (tenant, key, until, ids, digest) VALUES ({}, 'new', now(), '{{}}', '')",
        "stored_bytes (tenant, hour, bytes) VALUES ({}, now(), 1)",
        """schedules (id, tenant, name, cron, zone, overlap, catch_up, catch_up_within_s, catch_up_max_runs, jitter_s,
               job) VALUES (uuidv7(), {}, 't', '@daily', 'UTC', 'allow', 'last', 1, 1, 0, '{{}}')""",
        "webhook_endpoints (id, tenant, max_attempts, url) VALUES (uuidv7(), {}, 1, '')",
        "webhook_secrets (endpoint, id, tenant, secret) VALUES (uuidv7(), uuidv7(), {}, '')",
        "schedule_fires (schedule, at, tenant, outcome) VALUES (uuidv7(), now(), {}, 'skipped')",
        """audit_entries (id, tenant, subject, address, request_id, action, thing, details)
           VALUES (uuidv7(), {}, 'key:k', '', 'r', 'job.cancel', 'x', '{{}}')""",
    ],
)
def test_a_row_of_another_tenant_is_refused(as_part: Callable[[str], Database], insert: str) -> None:
    api = as_part("api")
    own = f"INSERT INTO {insert}".format(OURS)
    with pytest.raises(DENIED, match="row-level security"):
        api.rows(own)  # without a tenant
    api.rows(f"BEGIN; SELECT {set_caller([OURS])}; {own}")
    with pytest.raises(DENIED, match="row-level security"):
        api.rows(f"INSERT INTO {insert}".format(THEIRS))
    api.rows("ROLLBACK")


def test_a_statement_of_the_store_sets_the_tenant_before_it_reads(
    as_part: Callable[[str], Database], storage: Storage
) -> None:
    """With any plan: a nested loop is the only one that can evaluate the inner side with the setting."""
    as_part("api")
    url = storage.settings.database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_api@")

    async def read() -> list[list[int]]:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        found = []
        try:
            for method in (
                "enable_nestloop",
                "enable_hashjoin",
                "enable_mergejoin",
                "enable_material",
                "enable_seqscan",
            ):
                for tenants in ([OURS], [THEIRS], [OURS, THEIRS]):
                    sql = for_caller("SELECT tenant FROM jobs WHERE tenant = ANY ($1) ORDER BY tenant")
                    async with connection.transaction():
                        await connection.execute(f"SET LOCAL search_path = jobproc; SET LOCAL {method} = off")
                        found.append([row[0] for row in await connection.fetch(sql, tenants)])
        finally:
            await connection.close()
        return found

    assert asyncio.run(read()) == [[OURS], [THEIRS], [OURS, THEIRS]] * 5


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_worker_and_controller_serve_all_tenants(as_part: Callable[[str], Database], part: str) -> None:
    assert sorted(as_part(part).rows("SELECT tenant FROM live")) == [(OURS,), (THEIRS,)]


def test_totals_of_a_tenant_are_estimated_beside_many_others(storage: Storage) -> None:
    """The planner guesses that the policy lets a few rows of a hundred through."""
    storage.rows(
        """INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts)
        SELECT uuidv7(), 1 + n % 50, 'noop', 'default', '1', 3 FROM generate_series(1, 20000) AS n; ANALYZE jobs"""
    )
    url = storage.settings.database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_api@")

    def estimate(connection: Connection) -> int | None:
        connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
        return estimates.estimated_total(connection, 5, JobSearch(), 0)

    async def read() -> int | None:
        pool = DatabasePool(settings_from(url, storage.settings.redis_url))
        try:
            return await pool.run_sync(estimate, Lane.EXPENSIVE, tenant=5)
        finally:
            await pool.close()

    total = asyncio.run(read())
    assert total is not None
    assert 200 <= total <= 800, "a tenant has 400"


def test_the_page_of_a_small_tenant_is_quick_behind_many_jobs_of_others(storage: Storage) -> None:
    """Each list reads a few pages of the indexes, wherever the other tenant's rows are."""
    storage.rows(
        """CREATE TABLE d AS SELECT uuidv7() AS id, CASE WHEN n <= 5 THEN 2 ELSE 3 END AS tenant
           FROM generate_series(1, 50000) AS n;
        INSERT INTO jobs (id, tenant, operation, queue, input, max_attempts)
        SELECT id, tenant, 'noop', 'default', '1', 3 FROM d;
        INSERT INTO live (id, tenant, queue, max_attempts, claimable_at) SELECT id, tenant, 'default', 3, now() FROM d;
        INSERT INTO tags (id, tenant, tag) SELECT id, tenant, 'red' FROM d; DROP TABLE d; ANALYZE"""
    )
    limits = ScanLimits(5, 20_000, 0)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
        for search in (JobSearch(), JobSearch(statuses=frozenset({State.PENDING})), JobSearch(tag="red")):
            for descending in (True, False):
                one_way = replace(search, descending=descending)
                sql = LISTS[one_way.index, descending, True]
                arguments = index_scan.scan_arguments(2, one_way, None, limits)
                for number in range(len(arguments), 0, -1):
                    sql = sql.replace(f"${number}", f"%({number})s")
                values = [str(value) if isinstance(value, UUID) else value for value in arguments]
                named = {str(number): value for number, value in enumerate(values, 1)}
                plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", named).scalar_one()
                top = plan[0]["Plan"]
                assert top["Actual Rows"] >= 5
                assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 300, (one_way, plan)

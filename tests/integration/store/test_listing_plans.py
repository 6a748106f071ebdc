"""Plans of lists over many rows: a page scans one index from a known position, within its row budget.

The tests compare pages touched, not times. JOBPROC_MANY_ROWS=1000000 makes more rows than `make test` does.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from integration.store.support.query_plans import Plan
from integration.store.support.query_plans import explain as explain_statement
from integration.store.support.storage import Storage, old_period
from sqlalchemy import Connection

from common.domain.job_search import JobSearch, ListPosition, Order, ScanIndex
from common.domain.states import State
from common.settings import Settings
from common.store.bulk_actions import steps
from common.store.connection.lanes import Lane
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing import estimates, index_scan, job_list
from common.store.listing.index_scan import ScanLimits
from common.store.schema import partitions

JOBS = int(os.environ.get("JOBPROC_MANY_ROWS", "300000"))
DAYS = 10
BUDGET = 2_000
LIMITS = ScanLimits(50, BUDGET, 3_600)
RARE = 1_000  # of so many jobs one failed, one has the tag, one is unfinished

# Jobs evenly over ten days, most of them successful; each ends after ten seconds.
_FILL = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, tags)
    SELECT (lpad(to_hex((%(start)s + n * %(step)s)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 15))::uuid,
           CASE WHEN n %% %(rare)s = 1 THEN 'cube_sum' ELSE 'square_sum' END, 'default', '{"data":[1,2,3]}', 3,
           CASE WHEN n %% %(rare)s = 2 THEN ARRAY['rare'] END
    FROM generate_series(0, %(jobs)s - 1) n RETURNING id, tags),
tagged AS (INSERT INTO tags (id, tag) SELECT id, unnest(tags) FROM new WHERE tags IS NOT NULL),
numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM new),
waits AS (INSERT INTO live (id, queue, max_attempts, claimable_at)
          SELECT id, 'default', 3, now() FROM numbered WHERE n %% %(rare)s = 3)
INSERT INTO outcomes (id, run, attempt, released, rev, finished_at, status, result, error_type, error_text)
SELECT id, 0, 1, 0, 2, to_timestamp((%(start)s + n * %(step)s) / 1000.0) + interval '10 s',
       CASE n %% %(rare)s WHEN 4 THEN 'FAILED' ELSE 'SUCCESS' END,
       CASE WHEN n %% %(rare)s <> 4 THEN '14.0'::json END, CASE n %% %(rare)s WHEN 4 THEN 'timeout' END,
       CASE n %% %(rare)s WHEN 4 THEN 'too slow' END
FROM numbered WHERE n %% %(rare)s <> 3
"""


@pytest.fixture(scope="module")
def large(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """A history of ten days, created once."""
    import uuid

    import psycopg2
    from rig.settings import settings_from

    name, url_template = f"large_{uuid.uuid4().hex[:12]}", os.environ["JOBPROC_TESTS_POSTGRES"]
    connection = psycopg2.connect(url_template.format("postgres"))
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE {name} TEMPLATE jobproc_template")
    storage = Storage(settings_from(url_template.format(name), "redis://127.0.0.1:1/0"))
    suffixes = {
        row[0]
        for row in storage.rows(
            "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits WHERE inhparent = 'jobs'::regclass"
        )
    }
    with storage.engine.begin() as opened:
        today = partitions.database_unix_ms(opened) // partitions.DAY_MS
    for ago in range(1, DAYS + 1):
        suffix = datetime.fromtimestamp((today - ago) * 86_400, UTC).strftime("%Y%m%d")
        if suffix not in suffixes:
            old_period(storage, ago)
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    storage.rows(
        _FILL,
        {
            "start": (today - DAYS) * partitions.DAY_MS,
            "step": DAYS * partitions.DAY_MS // JOBS,
            "rare": RARE,
            "jobs": JOBS,
        },
    )
    assert storage.value("SELECT count(*) FROM jobs") == JOBS
    assert storage.value("SELECT count(*) FROM outcomes WHERE status = 'FAILED'") == JOBS / RARE
    yield storage
    storage.close()
    cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(params=["not analyzed", "analyzed"], scope="module")
def known(request: pytest.FixtureRequest, large: Storage) -> Storage:
    """The history with and without planner statistics: plans must not depend on them."""
    if request.param == "analyzed":
        large.rows("VACUUM ANALYZE")
    return large


SEARCHES = {
    "everything": (JobSearch(), ScanIndex.JOBS, "jobs"),
    "a rare operation": (JobSearch(operation="cube_sum"), ScanIndex.JOBS, "jobs"),
    "successful jobs": (JobSearch(statuses=frozenset({State.SUCCESS})), ScanIndex.JOBS, "jobs"),
    "a tag": (JobSearch(tag="rare"), ScanIndex.TAGGED, "tags"),
    "a tag of no job": (JobSearch(tag="none"), ScanIndex.TAGGED, "tags"),
    "waiting jobs": (JobSearch(statuses=frozenset({State.PENDING})), ScanIndex.LIVE, "live"),
    "failed jobs": (JobSearch(statuses=frozenset({State.FAILED})), ScanIndex.UNSUCCESSFUL, "outcomes"),
    "an error of no job": (
        JobSearch(statuses=frozenset({State.FAILED}), error="no such text"),
        ScanIndex.UNSUCCESSFUL,
        "outcomes",
    ),
    "failed jobs, by their end": (
        JobSearch(statuses=frozenset({State.FAILED}), order=Order.FINISHED),
        ScanIndex.FINISHED,
        "outcomes",
    ),
    "failed jobs with a tag, by their end": (
        JobSearch(statuses=frozenset({State.FAILED}), tag="rare", order=Order.FINISHED),
        ScanIndex.FINISHED,
        "outcomes",
    ),
}


def explain(storage: Storage, search: JobSearch, beyond: ListPosition | None, mode: str) -> Plan:
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
        connection.exec_driver_sql(f"SET LOCAL plan_cache_mode = {mode}")
        arguments = index_scan.scan_arguments(1, search, beyond, LIMITS)
        types = index_scan.TYPES_BY_FINISH if search.order is Order.FINISHED else index_scan.TYPES
        connection.exec_driver_sql("DEALLOCATE ALL")
        connection.exec_driver_sql(
            f"PREPARE page ({types}) AS {job_list.LISTS[search.index, search.descending, False]}"
        )
        placeholders = ", ".join(["%s"] * len(arguments))
        parameters = tuple(str(argument) if isinstance(argument, UUID) else argument for argument in arguments)
        text = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page ({placeholders})", parameters
        ).scalar_one()
        return Plan((json.loads(text) if isinstance(text, str) else text)[0]["Plan"])


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("descending", [True, False], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("kind", SEARCHES)
def test_a_page_scans_one_index_within_its_budget_from_any_position(
    known: Storage, kind: str, mode: str, descending: bool
) -> None:
    search, index, table = SEARCHES[kind]
    search = replace(search, descending=descending)
    assert search.index is index
    middle = datetime.now(UTC) - timedelta(days=DAYS / 2)
    position = ListPosition(
        UUID(int=int(middle.timestamp() * 1000) << 80), middle if index is ScanIndex.FINISHED else None
    )
    for beyond in (None, position):
        plan = explain(known, search, beyond, mode)
        assert not [
            node
            for node in plan.nodes
            if node["Node Type"] in {"Seq Scan", "Bitmap Heap Scan", "Gather"} and node["Actual Loops"]
        ], str(plan)
        scanned = max(
            node["Actual Rows"] * node["Actual Loops"] for node in plan.nodes if node["Node Type"] == "WindowAgg"
        )
        assert scanned <= BUDGET
        read = [node for node in plan.scans(table) if node["Actual Loops"] == 1]
        assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read) <= BUDGET + DAYS + 5, (
            f"only scanned rows are read\n{plan}"
        )
        # About 12 pages a job that is read from its tables, and a few a partition.
        assert plan.buffers <= 16 * scanned + 400, str(plan)


@pytest.mark.parametrize("kind", ["waiting jobs", "failed jobs", "a tag", "an error of no job"])
def test_a_step_of_a_bulk_action_scans_one_index_within_its_budget_from_its_position(known: Storage, kind: str) -> None:
    search, index, table = SEARCHES[kind]
    search = replace(search, descending=False, as_of=datetime.now(UTC))
    middle = ListPosition(UUID(int=int((datetime.now(UTC) - timedelta(days=DAYS / 2)).timestamp() * 1000) << 80))
    connection = known.connection()
    for beyond in (None, middle):
        arguments = [
            str(argument) if isinstance(argument, UUID) else argument
            for argument in index_scan.scan_arguments(1, search, beyond, LIMITS)
        ]
        plan = explain_statement(connection, steps.SCANS[index, False], arguments)
        scanned = max(
            node["Actual Rows"] * node["Actual Loops"] for node in plan.nodes if node["Node Type"] == "WindowAgg"
        )
        assert 0 < scanned <= BUDGET
        read = [node for node in plan.scans(table) if node["Actual Loops"] == 1]
        assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read) <= BUDGET + DAYS + 5, (
            f"only scanned rows are read\n{plan}"
        )
        assert plan.buffers <= 16 * scanned + 400, str(plan)


def test_an_estimate_is_near_the_count_or_absent(known: Storage, request: pytest.FixtureRequest) -> None:
    middle, rare_jobs = datetime.now(UTC) - timedelta(days=DAYS / 2), JOBS / RARE
    # Of whole days that ended at midnight.
    half = JOBS * (middle.hour * 3_600 + middle.minute * 60 + DAYS * 43_200) / (DAYS * 86_400)
    expected = [
        (JobSearch(), JOBS),
        (JobSearch(created_before=middle), half),
        (JobSearch(created_after=middle, operation="square_sum", queue="default"), JOBS - half),
        (JobSearch(operation="cube_sum"), rare_jobs),
        (JobSearch(tag="rare"), rare_jobs),
        (JobSearch(statuses=frozenset({State.FAILED})), rare_jobs),
        (JobSearch(statuses=frozenset({State.FAILED, State.SUCCESS}), finished_before=middle), half),
    ]

    def work(connection: Connection) -> list[int | None]:
        connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
        return [estimates.estimated_total(connection, 1, search, 0) for search, _ in expected]

    totals = known.with_pool(lambda pool: pool.run_sync(work, Lane.EXPENSIVE))
    for (search, count), total in zip(expected, totals, strict=True):
        assert total is None or count / 1.5 <= total <= count * 1.5, search
    assert None not in totals or request.node.callspec.params["known"] != "analyzed"


def test_a_page_costs_the_same_in_a_large_table_as_in_a_small_one(known: Storage, settings: Settings) -> None:
    small = Storage(settings)
    small.fill(1_000)
    small.rows("VACUUM ANALYZE")
    small_buffers, large_buffers = (
        explain(storage, JobSearch(), None, "force_custom_plan").buffers for storage in (small, known)
    )
    small.close()
    assert large_buffers < 2 * small_buffers + 100

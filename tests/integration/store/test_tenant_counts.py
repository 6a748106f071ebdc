"""Counts of one tenant beside a huge backlog of another: bounded scans of its own lines, with any statistics."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Storage
from integration.store.support.tenants import add_tenants, fill
from rig.settings import ROLE_PREFIX, settings_from
from rig.system import SUPERUSER
from sqlalchemy import Connection

from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.connection.statement import SET_QUEUE_STATS_PLANS
from common.store.queues import queue_stats
from common.store.tenancy import usage_counts

FOREIGN, OWN = 200_000, 5
STATES = ["filled", "analysed", "analysed before the tenant came", "analysed when empty"]
FILL = """
INSERT INTO live (id, tenant, queue, max_attempts, claimable_at)
SELECT uuidv7(), %s, 'default', 3, now() - interval '1 hour' + n * interval '1 us' FROM generate_series(1, %s) AS n
"""


@pytest.fixture
def crowded(storage: Storage, request: pytest.FixtureRequest) -> Storage:
    """A queue with five due jobs of tenant 2, which came after 200,000 of tenant 3. Tenant 1 has none."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    add_tenants(storage, 3)
    if request.param == "analysed when empty":
        storage.rows("ANALYZE")
    storage.rows(FILL, (3, FOREIGN))
    if request.param == "analysed before the tenant came":
        storage.rows("ANALYZE")
    fill(storage, 2, OWN)
    if request.param == "analysed":
        storage.rows("ANALYZE")
    return storage


def as_api(storage: Storage, tenant: int, query: Callable[[Connection], Any]) -> Any:
    """Return the result of a query in the API's role, for a caller of a tenant."""
    url = storage.settings.database_url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_api@")

    async def run() -> Any:
        pool = DatabasePool(settings_from(url, storage.settings.redis_url))
        try:
            return await pool.run_sync(query, Lane.EXPENSIVE, tenant=tenant)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize("crowded", STATES, indirect=True)
def test_statistics_of_a_small_tenant_read_no_jobs_of_a_huge_one(crowded: Storage) -> None:
    def plans(connection: Connection) -> list[Plan]:
        connection.exec_driver_sql(SET_QUEUE_STATS_PLANS)
        analyze = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        return [
            Plan(connection.exec_driver_sql(analyze + sql, arguments).scalar_one()[0]["Plan"])
            for sql, arguments in ((queue_stats._DEPTH, (1_000, 2)), (queue_stats._OLDEST_DUE, (2,)))
        ]

    for plan in as_api(crowded, 2, plans):
        assert plan.unbounded("live") == [], plan
        assert {scan["Index Name"] for scan in plan.scans("live")} == {"live_line"}, plan
        assert plan.read("live", "live_line") <= OWN, str(plan)
        assert plan.buffers < 200, plan


@pytest.mark.parametrize("crowded", ["filled"], indirect=True)
def test_statistics_count_the_jobs_of_the_tenant_in_each_state(crowded: Storage) -> None:
    held = fill(crowded, 2, 3, "clock_timestamp() - interval '9 s'", priority=0)
    crowded.rows("UPDATE live SET worker = 1, started_at = now() WHERE id = ANY (%s::uuid[])", (held[:2],))
    fill(crowded, 2, 4, "clock_timestamp() + interval '1 h'")
    for tenant, expected in ((1, (0, 0)), (2, (OWN + 1, 2)), (3, (1_000, 0))):
        by_queue = as_api(crowded, tenant, partial(queue_stats.read, tenant=tenant, count_limit=1_000, unix_ms=0))
        (stats,) = (stats for stats in by_queue if stats.queue == "default")
        assert (stats.queued, stats.running) == expected
        assert (0, 0, 9, 3_600)[tenant] <= stats.oldest_due_s <= (0, 0, 60, 3_660)[tenant]


@pytest.mark.parametrize("crowded", STATES, indirect=True)
def test_jobs_of_tenants_with_a_quota_are_counted_by_their_lines(crowded: Storage) -> None:
    """Of the tenant with the backlog no more is read than its quotas need."""
    crowded.rows("UPDATE tenants SET max_waiting_jobs = 100, max_running_jobs = 50 WHERE id IN (2, 3)")
    connection = crowded.connection()
    plan = explain(connection, usage_counts.COUNT_JOBS, (0, 0))
    assert plan.unbounded("live") == [], plan
    assert {scan["Index Name"] for scan in plan.scans("live")} == {"live_line"}, plan
    assert plan.read("live", "live_line") < 2 * OWN + 100 + 50 + usage_counts.PASSED + 5, plan


def counted(storage: Storage, *defaults: int) -> dict[int, tuple[int, int]]:
    usage_counts.count_jobs(storage.connection(), *(defaults or (0, 0)))
    return {tenant: (waiting, running) for tenant, waiting, running in storage.rows("SELECT * FROM usage_of_jobs")}


def test_waiting_and_running_jobs_are_counted_in_all_queues_and_priorities(storage: Storage) -> None:
    storage.rows("CREATE VIEW usage_of_jobs AS SELECT tenant, waiting, running FROM tenant_usage")
    add_tenants(storage, 4)
    storage.rows("UPDATE operations SET queues = '{default,bulk}'")
    held = [
        *fill(storage, 2, 3, priority=0),
        *fill(storage, 2, 3, priority=9, queue="bulk"),
        *fill(storage, 2, 30, "clock_timestamp() + interval '1 h'"),
        *fill(storage, 4, 3),
    ]
    running = [held[0], *held[3:5], *held[-3:]]
    storage.rows("UPDATE live SET worker = 1, started_at = now() WHERE id = ANY (%s::uuid[])", (running,))
    assert counted(storage) == {}, "nobody has a quota"
    storage.rows("UPDATE tenants SET max_waiting_jobs = 1000, max_running_jobs = 2 WHERE id = 2")
    assert counted(storage) == {2: (33, 3)}
    storage.rows("UPDATE tenants SET max_waiting_jobs = 20 WHERE id = 2")
    assert counted(storage) == {2: (20, 3)}, "waiting jobs up to the quota"
    assert counted(storage, 5, 5) == {2: (20, 3), 4: (0, 3)}, "everyone has the quotas of the settings"
    storage.rows("DELETE FROM live")
    assert counted(storage, 5, 5) == {2: (0, 0), 4: (0, 0)}

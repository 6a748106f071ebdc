"""Plans of the API's statements by job id: one partition of each table. Submissions scan none."""

import json
from uuid import UUID

import asyncpg
import pytest
from integration.store.support.plan_database import FILLED, PlanDatabase
from integration.store.support.query_plans import Plan, explain

from common.store.connection.statement import Statement, array_literal
from common.store.jobs import cancel_retry, fragments, keyed_insert, reads
from common.store.queues import explain as queue_explain
from common.store.workers.low_water_marks import NIL_UUID


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_a_read_by_id_scans_one_partition_of_each_table(plan_database: PlanDatabase) -> None:
    job_id, today = plan_database.storage.rows("SELECT id::text, right(tableoid::regclass::text, 8) FROM jobs LIMIT 1")[
        0
    ]
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection = plan_database.storage.connection(by_index=False)
        connection._cursor.execute(f"SET plan_cache_mode = {mode}")
        for name, (sql, types, arguments) in {
            "status": (reads._STATUS, "int, uuid", (1, job_id)),
            "result": (reads._RESULT, "int, uuid", (1, job_id)),
            "job": (reads._JOB, "int, uuid, int, int, int, int", (1, job_id, 100, 10, 16_384, 65_536)),
            "input": (reads._INPUT, "int, uuid, int", (1, job_id, None)),
            "waiting": (queue_explain._UNFINISHED, "uuid, bigint, int, bigint", (job_id, 100, 1, 0)),
            "history": (queue_explain._ATTEMPT_TIMES, "uuid, int, int", (job_id, 100, 1)),
        }.items():
            plan = explain(connection, Statement(name, types, sql), arguments)
            others = {
                table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes", "attempts")
            }
            assert others == {"jobs": set(), "outcomes": set(), "attempts": set()}, f"{mode} {name}\n{plan}"
            assert plan.unbounded("live") == []
            assert plan.buffers <= 40, f"{mode} {name}\n{plan}"


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_snapshots_of_hundreds_of_jobs_are_read_by_id(plan_database: PlanDatabase) -> None:
    """Planned for each execution, as through a pooler."""
    ids = [row[0] for row in plan_database.storage.rows("SELECT id::text FROM jobs LIMIT 500")]
    today = plan_database.storage.value("SELECT right(max(tableoid::regclass::text), 8) FROM jobs")
    connection = plan_database.storage.connection(by_index=False)
    connection._cursor.execute("SET plan_cache_mode = force_custom_plan")
    arguments = ("{1}", array_literal([1] * len(ids)), array_literal(ids))
    plan = explain(connection, Statement("seen", "int[], int[], uuid[]", reads._SNAPSHOTS), arguments)
    assert {table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes")} == {
        "jobs": set(),
        "outcomes": set(),
    }
    assert plan.unbounded("live") == []
    assert plan.buffers <= 20 * len(ids), str(plan)


@pytest.mark.parametrize("plan_database", ["new"], indirect=True)
def test_snapshots_do_not_keep_a_plan_of_when_live_was_empty(plan_database: PlanDatabase) -> None:
    async def read_snapshots(connection: asyncpg.Connection) -> tuple[int, dict[tuple[int, str], reads.JobSnapshot]]:
        for _ in range(8):  # from the sixth on PostgreSQL may cache a generic plan
            await reads.snapshots(connection, [(1, UUID(NIL_UUID))])
        plan_database.fill(20_000, "now()")
        ids = [row[0] for row in await connection.fetch("SELECT id FROM live LIMIT 500")]
        before = await connection.fetchval("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'")
        async with connection.transaction():
            snapshots = await reads.snapshots(connection, [(1, job_id) for job_id in ids])
            return await connection.fetchval(
                "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'"
            ) - (before or 0), snapshots

    scanned, snapshots = plan_database.storage.api(read_snapshots)
    assert len(snapshots) == 500
    assert scanned < 100_000


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_a_cancel_and_a_manual_retry_scan_one_partition_of_each_table(plan_database: PlanDatabase) -> None:
    job_id, today = plan_database.storage.rows("SELECT id::text, right(tableoid::regclass::text, 8) FROM jobs LIMIT 1")[
        0
    ]
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection = plan_database.storage.connection(by_index=False)
        connection._cursor.execute(f"SET plan_cache_mode = {mode}")
        for name, (sql, types, arguments) in {
            "cancel_running": (cancel_retry._CANCEL_RUNNING, "int, uuid", (1, job_id)),
            "state": (cancel_retry._STATE, "int, uuid", (1, job_id)),
            "lock": (cancel_retry._LOCK, "int, uuid", (1, job_id)),
            "retry": (cancel_retry._RETRY, "int, uuid, text", (1, job_id, None)),
            "cancel_waiting": (keyed_insert.CANCEL_WAITING, "int, uuid", (1, job_id)),
            "holding": (keyed_insert._HOLDING, "int, uuid[]", (1, array_literal([job_id]))),
        }.items():
            plan = explain(connection, Statement(name, types, sql), arguments)
            others = {
                table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes", "attempts")
            }
            assert others == {"jobs": set(), "outcomes": set(), "attempts": set()}, f"{mode} {name}\n{plan}"
            assert plan.unbounded("live") == [], f"{mode} {name}\n{plan}"
            assert plan.buffers <= 60, f"{mode} {name}\n{plan}"


@pytest.mark.parametrize("plan_database", ["new", "just filled"], indirect=True)
def test_a_submission_scans_no_table(plan_database: PlanDatabase) -> None:
    new = plan_database.storage.new(100)

    async def explained(connection: asyncpg.Connection) -> Plan:
        async with connection.transaction():
            text = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {fragments.INSERT}",
                *([getattr(job, name) for job in new] for name in fragments.NAMES),
                [1],
            )
            return Plan(json.loads(text)[0]["Plan"])

    plan = plan_database.storage.api(explained)
    assert not [node for node in plan.nodes if "Scan" in node["Node Type"] and "Relation Name" in node], str(plan)
    assert not [node for node in plan.nodes if "Sort" in node["Node Type"]], str(plan)
    assert plan.buffers < 60 * len(new), str(plan)

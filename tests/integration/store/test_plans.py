"""Plans of frequent statements of workers and the controller: bounded index scans with any statistics."""

import contextlib
from collections.abc import Iterator, Sequence

import pytest
from integration.store.support import bulk_actions
from integration.store.support.plan_database import CLAIMED, COUNT_LIMIT, EMPTY, FILLED, PlanDatabase
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Storage
from rig.system import until

from common.settings import Pooler, Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.jobs import claims, deadlines, failures, running_keys
from common.store.queues import queue_state
from common.store.workers import leader, leases
from worker.controller.__main__ import Controller
from worker.controller.metrics import ControllerMetrics
from worker.execution.worker_session import WorkerSession
from worker.shared_memory.slots import Slots
from worker.supervision.supervisor import Supervisor

RARE = [
    claims.READ_INPUT,
    running_keys.LOCK,
    running_keys.TAKE,
    running_keys.PARK,
    running_keys.WAKE,
    leases.TAKE_OVER,
]  # only for jobs with rare options

# The frequent statements of each part, without failures.HELD_JOBS and leases.ORPHANED: these read all of `live`, once
# for each crashed process, because each claim would have to write an index by worker.
FREQUENT = {
    "process": [
        claims.SETTLE_AND_CLAIM,
        claims.SETTLE,
        failures.LOCK,
        failures.FAIL,
        failures.RETRY_OR_RELEASE,
        leases.PROGRESS,
        leases.RENEW,
        *RARE,
    ],
    "parent": [failures.LOCK, failures.FAIL, failures.RETRY_OR_RELEASE, leases.RENEW, leases.ASKED_TO_STOP],
    "controller": [
        *(
            queue_state.DUE,
            queue_state.REQUEUE_STRAYS,
            queue_state.RAISE_STARVED,
            queue_state.UNRUNNABLE,
            deadlines.FAIL_EXPIRED,
            running_keys.WAKE_IN_TURN,
        ),
        *(failures.LOCK, failures.FAIL, failures.RETRY_OR_RELEASE, leases.EXPIRED, *bulk_actions.STATEMENTS),
    ],
    "gauges": [queue_state.DEPTH, queue_state.PARKED, queue_state.OLDEST_DUE],
}
#: Statements that join `live` with `jobs`.
JOINS = {
    "process": [claims.SETTLE_AND_CLAIM, failures.HELD_JOBS],
    "parent": [failures.HELD_JOBS],
    "controller": [failures.HELD_JOBS],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Prepared once and planned each second, or through a pooler: planned in each transaction.
    if "parts" in metafunc.fixturenames:
        metafunc.parametrize("settings", list(Pooler), indirect=True)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"database_pooler": getattr(request, "param", settings.database_pooler)})


@pytest.fixture
def parts(storage: Storage) -> Iterator[dict[str, WorkerConnection]]:
    """Connections by part of the product, opened by that part."""
    settings = storage.settings
    controller, slots = Controller(settings, ControllerMetrics()), Slots(1, 1)
    leader.lead(storage.connection(), "another", 60)  # so that this controller only connects
    controller.tick()
    assert controller._connection is not None
    supervisor = Supervisor.__new__(Supervisor)  # only opens its connection
    supervisor._settings, supervisor._open_connection = settings, None
    session = WorkerSession(settings, slots.all[0], ["default"], ["square_sum"])
    yield {
        "process": session.connection,
        "parent": supervisor._connection(),
        "controller": controller._connection,
        "gauges": storage.connection(),
    }
    controller.close(resign=False)
    supervisor._close()
    session.close()


def _plans(parts: dict[str, WorkerConnection], arguments: dict[Statement, Sequence[object]]) -> dict[str, Plan]:
    """Return the plan of each frequent statement on the connection of each part that runs it."""
    plans = {}
    for part, statements in FREQUENT.items():
        connection = parts[part]
        for statement in statements:
            connection._cursor.execute("BEGIN")
            connection.run(statement, arguments[statement])
            connection._cursor.execute("ROLLBACK")
            plans[f"{part}: {statement.name}"] = explain(connection, statement, arguments[statement])
    return plans


def _unbounded(plans: dict[str, Plan]) -> dict[str, list[str]]:
    return {name: nodes for name, plan in plans.items() if (nodes := plan.unbounded("live"))}


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_no_frequent_statement_reads_or_sorts_the_whole_of_live(
    plan_database: PlanDatabase, parts: dict[str, WorkerConnection]
) -> None:
    plans = _plans(parts, plan_database.arguments())
    assert _unbounded(plans) == {}
    claim, depth = plans["process: settle_and_claim"], plans["gauges: depth"]
    assert claim.buffers < 40 * CLAIMED, f"about 25 pages a job for settle and claim, at any size\n{claim}"
    assert claim.read("live", "live_due") <= CLAIMED + 10, "a claim reads few more entries than it claims"
    assert depth.read("live", "live_due") <= COUNT_LIMIT


@pytest.mark.parametrize("plan_database", EMPTY, indirect=True)
def test_plans_made_on_an_empty_table_are_replaced_within_seconds_of_a_backlog(
    plan_database: PlanDatabase, parts: dict[str, WorkerConnection]
) -> None:
    """An idle worker prepares its statements on an empty table, where PostgreSQL prefers a sequential scan.

    Such a plan is cached until the table is vacuumed or analyzed, unless the store discards it.
    """
    for _ in range(6):  # from the sixth on PostgreSQL may cache a generic plan
        _plans(parts, plan_database.arguments())
    plan_database.fill(50_000, "now()")
    arguments, unbounded = plan_database.arguments(), dict[str, list[str]]()

    def all_bounded() -> bool:
        unbounded.clear()
        unbounded.update(_unbounded(_plans(parts, arguments)))
        return not unbounded

    with contextlib.suppress(AssertionError):
        until("every plan is bounded", all_bounded, 10)
    assert unbounded == {}


@pytest.mark.parametrize("plan_database", FILLED, indirect=True)
def test_a_claim_and_a_rescue_join_jobs_by_id_in_one_partition(
    plan_database: PlanDatabase, parts: dict[str, WorkerConnection]
) -> None:
    """Neither reads the history: of thirty partitions only one has these jobs."""
    today = plan_database.storage.value("SELECT DISTINCT tableoid::regclass::text FROM jobs")
    arguments, scanned = plan_database.arguments(), dict[tuple[str, str], set[str]]()
    for part, statements in JOINS.items():
        for statement in statements:
            scans = explain(parts[part], statement, arguments[statement]).scans("jobs")
            scanned[part, statement.name] = {f"{node['Node Type']} {node['Relation Name']}" for node in scans}
    assert scanned == {key: {f"Index Scan {today}"} for key in scanned}


@pytest.mark.parametrize("plan_database", ["large"], indirect=True)
def test_settled_attempts_are_read_from_the_partitions_of_their_jobs(plan_database: PlanDatabase) -> None:
    plan = explain(
        plan_database.claimer.connection, failures.SETTLED_BEFORE, plan_database.arguments()[failures.SETTLED_BEFORE]
    )
    today = plan_database.storage.value("SELECT right(min(tableoid::regclass::text), 8) FROM jobs")
    assert plan.partitions("outcomes") == {f"outcomes_{today}"}
    assert plan.partitions("attempts") == {f"attempts_{today}"}

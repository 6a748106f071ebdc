"""Plans of the statements that run all the time: by index, from a known place, whatever the statistics say; partitions pruned."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest
from integration.store.support import bulk_actions
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Claimer, Storage, old_period, results
from rig.system import until

from common.settings import Pooler, Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal
from common.store.jobs import cancel_retry, claims, deadlines, failures, insert, keyed_insert, reads, running_keys
from common.store.queues import explain as why
from common.store.queues import queue_state
from common.store.workers import leader, leases
from worker.controller.__main__ import Controller
from worker.controller.metrics import ControllerMetrics
from worker.execution.worker_session import WorkerSession
from worker.shared_memory.slots import Slots
from worker.supervision.supervisor import Supervisor

PARTITIONS, TAKEN, CAP = 30, 100, 1_000
SELDOM = [claims.READ_INPUT, running_keys.LOCK, running_keys.TAKE, running_keys.POSTPONE, leases.TAKE_OVER]  # for jobs of their kind

# What each part runs again and again. failures.HELD and leases.ORPHANED are not here: there is no index by worker, a claim
# would have to write it; they read all of `live`, once for each process that has died.
HOT = {
    "process": [claims.SETTLE_AND_CLAIM, claims.SETTLE, failures.LOCK, failures.FAIL, failures.RETRY_OR_RELEASE, leases.PROGRESS, leases.RENEW, *SELDOM],
    "parent": [failures.LOCK, failures.FAIL, failures.RETRY_OR_RELEASE, leases.RENEW, leases.ASKED_TO_STOP],
    "controller": [
        *(queue_state.DUE, queue_state.REQUEUE_STRAYS, queue_state.RAISE_STARVED, queue_state.UNRUNNABLE, deadlines.FAIL_EXPIRED),
        *(failures.LOCK, failures.FAIL, failures.RETRY_OR_RELEASE, leases.EXPIRED, *bulk_actions.STATEMENTS),
    ],
    "gauges": [queue_state.DEPTH, queue_state.OLDEST_DUE],
}
JOINED = {"process": [claims.SETTLE_AND_CLAIM, failures.HELD_JOBS], "parent": [failures.HELD_JOBS], "controller": [failures.HELD_JOBS]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "parts" in metafunc.fixturenames:  # prepared once and planned each second, or planned with each transaction: through a pooler
        metafunc.parametrize("settings", list(Pooler), indirect=True)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update={"database_pooler": getattr(request, "param", settings.database_pooler)})


@pytest.fixture
def parts(storage: Storage) -> Iterator[dict[str, WorkerConnection]]:
    """The connection of each part of the product, as that part opens it."""
    settings = storage.settings
    controller, slots = Controller(settings, ControllerMetrics()), Slots(1, 1)
    leader.lead(storage.connection(), "another", 60)  # so that this one connects and changes nothing
    controller.tick()
    assert controller._connection is not None
    watch = Supervisor.__new__(Supervisor)  # all that counts here is how it opens its connection
    watch._settings, watch._open_connection = settings, None
    holder = WorkerSession(settings, slots.all[0], ["default"], ["square_sum"])
    yield {"process": holder.connection, "parent": watch._connection(), "controller": controller._connection, "gauges": storage.connection()}
    controller.close(resign=False)
    watch._close()
    holder.close()


@dataclass
class Ground:
    """A database in some state, and the arguments of each statement in it."""

    storage: Storage
    claimer: Claimer

    def fill(self, rows: int, since: str = "timestamptz '2026-01-01 00:00:00+00'") -> None:
        """Let a backlog wait."""
        self.storage.fill(rows, f"{since} + row_number() OVER () * interval '1 us'")

    def arguments(self) -> dict[Statement, Sequence[object]]:
        """Claim a batch, leave a few strays, and return what each statement is then called with."""
        jobs = self.claimer.claim(TAKEN)
        self.claimer.publish()
        self.storage.rows("UPDATE live SET pos = '2025-12-31' WHERE id IN (SELECT id FROM live WHERE worker IS NULL ORDER BY id LIMIT 3)")
        ended = results(jobs).arguments()
        errors, spent = json.dumps(["error"] * len(jobs)), ([0.1] * len(jobs), [0.1] * len(jobs), [64.0] * len(jobs))
        held = (self.claimer.id, *ended[:2])
        marks, one = self.claimer.marks, jobs[0].id if jobs else claims.NIL_UUID
        positions = claims._PRIORITY_ARRAY, array_literal(marks.claimable_at.values()), array_literal(marks.id.values())
        return {
            claims.SETTLE_AND_CLAIM: (self.claimer.id, *ended, "default", *positions, TAKEN),
            claims.SETTLE: (self.claimer.id, *ended),
            claims.SETTLED_BEFORE: held,
            failures.LOCK: held,
            failures.FAIL: (*held, errors, errors, *spent),
            failures.RETRY_OR_RELEASE: (*held, errors, errors, *spent, [0.0] * len(jobs), ["error"] * len(jobs), [False] * len(jobs)),
            failures.HELD_JOBS: (self.claimer.id, CAP),
            leases.RENEW: (30, [self.claimer.id], [1], "[{}]", "[{}]"),
            leases.EXPIRED: (100,),
            leases.ASKED_TO_STOP: (*ended[:2], [self.claimer.id] * len(jobs)),
            leases.TAKE_OVER: (self.claimer.id, [self.claimer.id], *ended[:2]),
            leases.PROGRESS: (self.claimer.id, one, 1, 0.5, None),
            **bulk_actions.arguments([row[0] for row in self.storage.rows("SELECT id::text FROM live ORDER BY id DESC LIMIT %s", (TAKEN,))]),
            queue_state.DUE: (9,),
            queue_state.REQUEUE_STRAYS: (None, 10_000),
            queue_state.RAISE_STARVED: (10**6, 100),
            queue_state.UNRUNNABLE: (CAP,),
            deadlines.FAIL_EXPIRED: (CAP, "deadline_exceeded", "late"),
            claims.READ_INPUT: (one,),
            running_keys.LOCK: ("key", one),
            running_keys.TAKE: ("key", one),
            running_keys.POSTPONE: (self.claimer.id, one, 1, 1.0),
            queue_state.DEPTH: (CAP,),
            queue_state.OLDEST_DUE: (9,),
        }


@pytest.fixture
def ground(request: pytest.FixtureRequest, storage: Storage) -> Ground:
    """`new`: no job was ever there; `drained`: many were; `just filled`, and the planner knows nothing of it; `large`: it does."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    have = storage.one("SELECT count(*) FROM pg_inherits WHERE inhparent = 'jobs'::regclass")
    for days_ago in range(3, 3 + PARTITIONS - have):
        old_period(storage, days_ago)
    ground = Ground(storage, storage.claimer())
    if request.param == "drained":
        storage.drain()
    elif request.param == "just filled":
        ground.fill(20_000)
    elif request.param == "large":
        ground.fill(50_000)
        storage.rows("ANALYZE")
    return ground


EMPTY, FILLED = ["new", "drained"], ["just filled", "large"]


def _look(ground: Ground, parts: dict[str, WorkerConnection], arguments: dict[Statement, Sequence[object]]) -> dict[str, Plan]:
    """Run every hot statement on the connections that run it."""
    plans = {}
    for part, statements in HOT.items():
        connection = parts[part]
        for statement in statements:
            connection._cursor.execute("BEGIN")
            connection.run(statement, arguments[statement])
            connection._cursor.execute("ROLLBACK")
            plans[f"{part}: {statement.name}"] = explain(connection, statement, arguments[statement])
    return plans


def _wide(plans: dict[str, Plan]) -> dict[str, list[str]]:
    return {name: wide for name, plan in plans.items() if (wide := plan.wide("live"))}


@pytest.mark.parametrize("ground", FILLED, indirect=True)
def test_no_hot_statement_reads_or_sorts_the_whole_of_live(ground: Ground, parts: dict[str, WorkerConnection]) -> None:
    plans = _look(ground, parts, ground.arguments())
    assert _wide(plans) == {}
    claim, depth = plans["process: settle_and_claim"], plans["gauges: depth"]
    assert claim.buffers < 40 * TAKEN, f"about 25 pages a job for settle and claim, whatever the size\n{claim}"
    assert claim.read("live", "live_due") <= TAKEN + 10, "a claim reads little more than it takes"
    assert depth.read("live", "live_due") <= CAP


@pytest.mark.parametrize("ground", EMPTY, indirect=True)
def test_plans_that_were_made_on_an_empty_table_do_not_outlive_a_backlog(ground: Ground, parts: dict[str, WorkerConnection]) -> None:
    """A worker prepares its statements when there is nothing to do; what PostgreSQL thinks best then is to walk the table.

    Such a plan is kept until somebody vacuums or analyzes the table, unless the store does something about it.
    """
    for _ in range(6):  # from the sixth on a plan may be kept that was made without looking at the arguments
        _look(ground, parts, ground.arguments())
    ground.fill(50_000, "now()")
    arguments, found = ground.arguments(), dict[str, list[str]]()

    def good() -> bool:
        found.clear()
        found.update(_wide(_look(ground, parts, arguments)))
        return not found

    with contextlib.suppress(AssertionError):
        until("every plan is good", good, 10)
    assert found == {}


@pytest.mark.parametrize("ground", FILLED, indirect=True)
def test_jobs_are_joined_by_id_in_their_partition_alone(ground: Ground, parts: dict[str, WorkerConnection]) -> None:
    """Neither a claim nor a rescue reads the history: thirty partitions, the jobs of one."""
    today = ground.storage.one("SELECT DISTINCT tableoid::regclass::text FROM jobs")
    arguments, read_of = ground.arguments(), dict[tuple[str, str], set[str]]()
    for part, statements in JOINED.items():
        for statement in statements:
            scans = explain(parts[part], statement, arguments[statement]).scans("jobs")
            read_of[part, statement.name] = {f"{node['Node Type']} {node['Relation Name']}" for node in scans}
    assert read_of == {key: {f"Index Scan {today}"} for key in read_of}


@pytest.mark.parametrize("ground", ["large"], indirect=True)
def test_what_was_settled_before_is_looked_up_in_its_partitions_alone(ground: Ground) -> None:
    plan = explain(ground.claimer.connection, claims.SETTLED_BEFORE, ground.arguments()[claims.SETTLED_BEFORE])
    today = ground.storage.one("SELECT right(min(tableoid::regclass::text), 8) FROM jobs")
    assert plan.partitions("outcomes") == {f"outcomes_{today}"}
    assert plan.partitions("attempts") == {f"attempts_{today}"}


@pytest.mark.parametrize("ground", FILLED, indirect=True)
def test_a_read_by_id_looks_into_one_partition_of_each_table(ground: Ground) -> None:
    job_id, today = ground.storage.rows("SELECT id::text, right(tableoid::regclass::text, 8) FROM jobs LIMIT 1")[0]
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection = ground.storage.connection(by_index=False)
        connection._cursor.execute(f"SET plan_cache_mode = {mode}")
        for name, (sql, types, arguments) in {
            "status": (reads._STATUS, "uuid", (job_id,)),
            "result": (reads._RESULT, "uuid", (job_id,)),
            "job": (reads._JOB, "uuid, int, int", (job_id, 100, 10)),
            "waiting": (why._UNFINISHED, "uuid, bigint", (job_id, 100)),
            "history": (why._ATTEMPT_TIMES, "uuid, int", (job_id, 100)),
        }.items():
            plan = explain(connection, Statement(name, types, sql), arguments)
            found = {table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes", "attempts")}
            assert found == {"jobs": set(), "outcomes": set(), "attempts": set()}, f"{mode} {name}\n{plan}"
            assert plan.wide("live") == []
            assert plan.buffers <= 40, f"{mode} {name}\n{plan}"


@pytest.mark.parametrize("ground", FILLED, indirect=True)
def test_a_look_at_hundreds_of_jobs_finds_each_by_its_id(ground: Ground) -> None:
    """As the API looks through a pooler: planned anew."""
    ids = [row[0] for row in ground.storage.rows("SELECT id::text FROM jobs LIMIT 500")]
    today = ground.storage.one("SELECT right(max(tableoid::regclass::text), 8) FROM jobs")
    connection = ground.storage.connection(by_index=False)
    connection._cursor.execute("SET plan_cache_mode = force_custom_plan")
    plan = explain(connection, Statement("seen", "uuid[]", reads._SNAPSHOTS), ("{" + ",".join(ids) + "}",))
    assert {table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes")} == {"jobs": set(), "outcomes": set()}
    assert plan.wide("live") == []
    assert plan.buffers <= 20 * len(ids), str(plan)


@pytest.mark.parametrize("ground", ["new"], indirect=True)
def test_a_look_does_not_keep_a_plan_of_when_a_table_was_empty(ground: Ground) -> None:
    async def looks(connection: asyncpg.Connection) -> tuple[int, dict[str, reads.JobSnapshot]]:
        for _ in range(8):  # from the sixth on a plan may be kept
            await reads.snapshots(connection, [UUID(claims.NIL_UUID)])
        ground.fill(20_000, "now()")
        ids = [row[0] for row in await connection.fetch("SELECT id FROM live LIMIT 500")]
        before = await connection.fetchval("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'")
        async with connection.transaction():
            found = await reads.snapshots(connection, ids)
            return await connection.fetchval("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'live'") - (before or 0), found

    walked, found = ground.storage.api(looks)
    assert len(found) == 500
    assert walked < 100_000


@pytest.mark.parametrize("ground", FILLED, indirect=True)
def test_to_cancel_or_retry_a_job_looks_into_one_partition_of_each_table(ground: Ground) -> None:
    job_id, today = ground.storage.rows("SELECT id::text, right(tableoid::regclass::text, 8) FROM jobs LIMIT 1")[0]
    for mode in ("force_custom_plan", "force_generic_plan"):
        connection = ground.storage.connection(by_index=False)
        connection._cursor.execute(f"SET plan_cache_mode = {mode}")
        for name, (sql, types, arguments) in {
            "cancel_running": (cancel_retry._CANCEL_RUNNING, "uuid", (job_id,)),
            "state": (cancel_retry._STATE, "uuid", (job_id,)),
            "lock": (cancel_retry._LOCK, "uuid", (job_id,)),
            "rerun": (cancel_retry._RETRY, "uuid, text", (job_id, None)),
            "cancel_waiting": (keyed_insert.CANCEL_WAITING, "uuid", (job_id,)),
        }.items():
            plan = explain(connection, Statement(name, types, sql), arguments)
            found = {table: plan.partitions(table) - {f"{table}_{today}"} for table in ("jobs", "outcomes", "attempts")}
            assert found == {"jobs": set(), "outcomes": set(), "attempts": set()}, f"{mode} {name}\n{plan}"
            assert plan.wide("live") == [], f"{mode} {name}\n{plan}"
            assert plan.buffers <= 60, f"{mode} {name}\n{plan}"


@pytest.mark.parametrize("ground", ["new", "just filled"], indirect=True)
def test_a_submission_reads_no_table(ground: Ground) -> None:
    new = ground.storage.new(100)

    async def explained(connection: asyncpg.Connection) -> Plan:
        async with connection.transaction():
            text = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {insert._INSERT}",
                *([getattr(job, name) for job in new] for name in insert._NAMES),
            )
            return Plan(json.loads(text)[0]["Plan"])

    plan = ground.storage.api(explained)
    assert not [node for node in plan.nodes if "Scan" in node["Node Type"] and "Relation Name" in node], str(plan)
    assert not [node for node in plan.nodes if "Sort" in node["Node Type"]], str(plan)
    assert plan.buffers < 60 * len(new), str(plan)

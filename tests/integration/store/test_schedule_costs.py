"""The costs of schedules: one look at an index when nothing is due, and ten thousand of one instant in seconds."""

import time

from integration.store.support.query_plans import explain
from integration.store.support.storage import Storage

from common.store.schedules import firing, firing_statements
from common.store.schedules.firing import FiringLimits

MANY, SECONDS = 10_000, 15.0  # 1.7 s on two cores that do little else
COPY = """INSERT INTO schedules (id, name, created_at, cron, zone, overlap, catch_up, catch_up_within_s,
        catch_up_max_runs, jitter_s, next_at, due_at, job)
    SELECT gen_random_uuid(), 's' || n, now(), '0 * * * *', 'Europe/Berlin', 'skip', 'last', 3600, 100, 0, {at}, {at},
           '{{"operation": "square_sum", "input": {{"data": [1]}}}}'
    FROM generate_series(1, %s) n"""


def test_ten_thousand_schedules_of_one_instant_fire_within_seconds(storage: Storage) -> None:
    storage.rows(COPY.format(at="date_trunc('second', now())"), (MANY,))
    connection, limits = storage.connection(), FiringLimits(500, 60)
    began = time.perf_counter()
    fired = 0
    while firing.is_any_due(connection):
        fired += firing.fire_due(connection, limits).decided
    took = time.perf_counter() - began
    print(f"{MANY} schedules fired in {took:.2f} s")
    assert fired == MANY
    assert storage.value("SELECT count(*) FROM live") == MANY
    assert took < SECONDS


def test_a_look_at_schedules_that_are_not_due_reads_one_entry_of_an_index(storage: Storage) -> None:
    storage.rows(COPY.format(at="now() + interval '1 day'"), (MANY,))
    storage.rows("ANALYZE schedules")
    connection = storage.connection()
    for statement, arguments in (
        (firing_statements.ANY_DUE, (None,)),
        (firing_statements.LOCK_DUE, (None, 500, None)),
        (firing_statements.OVERDUE, (0.0,)),
    ):
        connection.run(statement, arguments)
        plan = explain(connection, statement, arguments)
        assert {scan["Index Name"] for scan in plan.scans("schedules", ran=False)} == {"schedules_due"}, statement.name
        assert plan.buffers < 10, statement.name


def test_a_look_at_old_fires_reads_none_that_stay(storage: Storage) -> None:
    storage.rows(
        """INSERT INTO schedule_fires (schedule, at, outcome)
           SELECT gen_random_uuid(), now(), 'skipped' FROM generate_series(1, %s)""",
        (MANY,),
    )
    storage.rows("ANALYZE schedule_fires")
    connection = storage.connection()
    assert firing.delete_fires(connection, 30, 10) == 0
    plan = explain(connection, firing_statements.DELETE_FIRES, (30.0, 10))
    assert plan.buffers < 10

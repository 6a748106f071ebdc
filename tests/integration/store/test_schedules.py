"""The fires of schedules: what each policy does, exactly once, and in the transaction that stores the jobs."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg2
import pytest
from integration.store.support.schedules import LIMITS, OPERATIONS, Schedules
from integration.store.support.storage import Storage

from common.store.schedules import firing
from common.store.schedules.firing import FiringLimits

MINUTE = timedelta(minutes=1)


@pytest.fixture
def schedules(storage: Storage) -> Schedules:
    return Schedules(storage)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_a_due_instant_submits_its_job_and_moves_on(schedules: Schedules, storage: Storage, now: datetime) -> None:
    schedule = schedules.create(
        every_seconds=60.0,
        job={
            "operation": "square_sum",
            "input": {"data": [1, 2]},
            "priority": 2,
            "tags": ["nightly"],
            "max_attempts": 7,
        },
    )
    schedules.set_next(schedule, now)
    batch = schedules.fire()
    assert (batch.locked, batch.decided, dict(batch.outcomes)) == (1, 1, {"fired": 1})
    (job,) = storage.rows(
        """SELECT operation, queue, input::text, priority, max_attempts, tags, submitted_by, jobs.id::text
           FROM jobs JOIN live USING (id, priority, max_attempts, queue)"""
    )
    assert job[:6] == ("square_sum", "default", '{"data":[1,2]}', 2, 7, ["nightly"])
    assert job[6] == f"schedule:{schedule.id}"
    row = schedules.read(schedule)
    assert row["last_job"] == job[7]
    assert row["last_at"] == now
    assert now < row["next_at"] <= now + MINUTE
    assert schedules.fires(schedule) == [(now, "fired", None)]
    assert schedules.fire().locked == 0


def test_an_instant_that_is_not_due_waits(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(cron="0 0 1 1 *")
    assert schedules.fire().locked == 0
    assert not firing.is_any_due(schedules.connection)
    assert firing.is_any_due(schedules.connection, schedule.next_at)


def test_a_single_instant_ends_its_schedule(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(at=(now + MINUTE).isoformat())
    schedules.fire(now + MINUTE)
    assert schedules.fires(schedule) == [(now + MINUTE, "fired", None)]
    row = schedules.read(schedule)
    assert (row["next_at"], row["due_at"]) == (None, None)


def test_a_paused_schedule_does_not_fire(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(every_seconds=60.0, paused=True)
    schedules.set_next(schedule, now)
    assert schedules.fire().locked == 0


@pytest.mark.parametrize(
    ("overlap", "outcomes"),
    [
        ("allow", ["fired", "fired"]),
        ("skip", ["fired", "skipped"]),
        ("queue", ["fired"]),
        ("cancel_old", ["fired", "fired"]),
    ],
)
def test_an_instant_while_the_last_job_has_not_ended(
    schedules: Schedules, storage: Storage, now: datetime, overlap: str, outcomes: list[str]
) -> None:
    schedule = schedules.create(every_seconds=10.0, overlap=overlap)
    schedules.set_next(schedule, now)
    schedules.fire(now)
    first = schedules.read(schedule)["last_job"]
    schedules.set_next(schedule, now + timedelta(seconds=10))
    schedules.fire(now + timedelta(seconds=10))
    assert [outcome for _, outcome, _ in schedules.fires(schedule)] == outcomes
    if overlap == "cancel_old":
        assert storage.state(first) == "CANCELLED"
    elif overlap == "queue":
        assert schedules.read(schedule)["pending_at"] == now + timedelta(seconds=10)


def test_cancel_old_asks_a_running_job_to_stop(schedules: Schedules, storage: Storage, now: datetime) -> None:
    job = {"operation": "square_sum", "input": {"data": [1]}}  # known to the claimer
    schedule = schedules.create(every_seconds=10.0, overlap="cancel_old", job=job)
    schedules.set_next(schedule, now)
    schedules.fire(now)
    (claimed,) = storage.claimer().claim(1)
    schedules.set_next(schedule, now + timedelta(seconds=10))
    batch = schedules.fire(now + timedelta(seconds=10))
    assert batch.cancelled == [claimed.id]
    assert storage.value("SELECT cancel_requested FROM live WHERE id = %s", (claimed.id,)) is True


def test_cancel_old_waits_for_a_row_that_another_transaction_holds(
    schedules: Schedules, storage: Storage, now: datetime
) -> None:
    schedule = schedules.create(every_seconds=10.0, overlap="cancel_old")
    schedules.set_next(schedule, now)
    schedules.fire(now)
    schedules.set_next(schedule, now + timedelta(seconds=10))
    other = storage.session()
    other.cursor().execute("SELECT FROM live FOR UPDATE")
    batch = schedules.fire(now + timedelta(seconds=10))
    assert (batch.locked, batch.decided) == (1, 0)
    other.rollback()
    assert schedules.fire(now + timedelta(seconds=10)).decided == 1
    assert len(schedules.fires(schedule)) == 2


def test_queue_keeps_one_instant_until_the_last_job_has_ended(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(every_seconds=10.0, overlap="queue", starts_at=now.isoformat())
    schedules.set_next(schedule, now)
    schedules.fire(now)
    at = [now + timedelta(seconds=10 * number) for number in range(6)]
    schedules.fire(at[1])
    schedules.fire(at[2])
    schedules.fire(at[3] + timedelta(seconds=1))
    schedules.end_jobs()
    schedules.fire(at[3] + timedelta(seconds=3))
    assert schedules.fires(schedule) == [
        (at[0], "fired", None),
        (at[1], "fired", None),
        (at[2], "skipped", None),
        (at[3], "skipped", None),
    ]
    assert schedules.read(schedule)["pending_at"] is None
    assert schedules.read(schedule)["next_at"] == at[4]


@pytest.mark.parametrize(
    ("catch_up", "fired", "missed"),
    [
        ({"policy": "none"}, 1, [(0, 8)]),
        ({"policy": "last"}, 1, [(0, 8)]),
        ({"policy": "all"}, 10, []),
        ({"policy": "all", "max_runs": 3}, 3, [(0, 6)]),
        ({"policy": "all", "within_seconds": 240.0}, 4, [(0, 5)]),
    ],
)
def test_an_outage_of_ten_instants(
    schedules: Schedules,
    storage: Storage,
    now: datetime,
    catch_up: dict[str, object],
    fired: int,
    missed: list[tuple[int, int]],
) -> None:
    """The newest of them is on time: it fires with every policy."""
    start = now.replace(second=0) + MINUTE
    schedule = schedules.create(every_seconds=60.0, starts_at=start.isoformat(), catch_up=catch_up)
    schedules.fire(start + 9.5 * MINUTE)
    runs = storage.rows(
        "SELECT at, through FROM schedule_fires WHERE schedule = %s AND outcome = 'missed'", (str(schedule.id),)
    )
    assert runs == [(start + first * MINUTE, start + last * MINUTE) for first, last in missed]
    assert sum(outcome == "fired" for _, outcome, _ in schedules.fires(schedule)) == fired
    assert storage.value("SELECT count(*) FROM live") == fired


def test_the_last_instant_of_an_outage_fires_once_within_the_hour(schedules: Schedules, now: datetime) -> None:
    day = now.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    for late, outcomes in ((timedelta(minutes=59), ["fired"]), (timedelta(minutes=61), ["missed"])):
        schedule = schedules.create(cron="0 0 * * *")
        schedules.fire(day + late)
        assert [outcome for _, outcome, _ in schedules.fires(schedule)] == outcomes


def test_more_instants_than_one_decision_takes_are_decided_in_several(
    schedules: Schedules, storage: Storage, now: datetime
) -> None:
    schedule = schedules.create(every_seconds=0.1, starts_at=now.isoformat(), catch_up={"policy": "none"})
    schedules.set_next(schedule, now)
    end = now + timedelta(seconds=2_500)
    rounds = 0
    while schedules.fire(end).locked:
        rounds += 1
    assert rounds == 3
    rows = storage.rows("SELECT at, through, outcome FROM schedule_fires ORDER BY at")
    missed = [(at, through) for at, through, outcome in rows if outcome == "missed"]
    assert missed[0][0] == now
    assert all(after[0] - before[1] == timedelta(seconds=0.1) for before, after in pairwise(missed))
    assert sum(outcome == "fired" for *_, outcome in rows) == 601


def test_a_clock_that_is_set_back_fires_nothing_twice(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(every_seconds=10.0, starts_at=(now + MINUTE).isoformat())
    first = now + MINUTE
    for offset in (0, 10, -3_600, 5, 20, -10, 20, 30):
        schedules.fire(first + timedelta(seconds=offset))
    assert [at for at, _, _ in schedules.fires(schedule)] == [first + timedelta(seconds=10 * n) for n in range(4)]


def test_a_clock_that_is_set_forward_misses_what_it_leaves_out(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(every_seconds=60.0, starts_at=now.isoformat())
    schedules.set_next(schedule, now)
    schedules.fire(now)
    schedules.fire(now + timedelta(days=1))
    outcomes = [outcome for _, outcome, _ in schedules.fires(schedule)]
    assert outcomes == ["fired", "missed", "fired", "fired"][: len(outcomes)]
    assert schedules.read(schedule)["next_at"] == now + timedelta(days=1, minutes=1)


def test_jitter_delays_an_instant_by_the_same_time_always(schedules: Schedules, now: datetime) -> None:
    schedule = schedules.create(every_seconds=600.0, jitter_seconds=300.0, starts_at=(now + MINUTE).isoformat())
    due_at = schedules.read(schedule)["due_at"]
    assert now + MINUTE <= due_at <= now + 6 * MINUTE
    assert due_at == schedule.timing.due_at(schedule.id, now + MINUTE)
    schedules.fire(due_at - timedelta(milliseconds=1))
    assert schedules.fires(schedule) == []
    schedules.fire(due_at)
    assert schedules.fires(schedule) == [(now + MINUTE, "fired", None)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE tenants SET state = 'SUSPENDED'", "tenant"),
        ("UPDATE tenants SET state = 'DRAINING'", "tenant"),
        ("UPDATE tenants SET max_waiting_jobs = 0", "quota"),
        ('UPDATE schedules SET job = \'{"operation": "gone"}\'', "unknown_operation"),
        ('UPDATE schedules SET job = \'{"operation": "noop", "queue": "other"}\'', "queue_not_allowed"),
    ],
)
def test_an_instant_whose_job_cannot_be_submitted_says_why(
    schedules: Schedules, storage: Storage, now: datetime, change: str, reason: str
) -> None:
    schedule = schedules.create(every_seconds=60.0)
    schedules.set_next(schedule, now)
    storage.rows(change)
    schedules.fire(now)
    assert schedules.fires(schedule) == [(now, "refused", reason)]
    assert storage.value("SELECT count(*) FROM jobs") == 0


def test_jobs_of_one_running_key_wait_for_each_other(schedules: Schedules, storage: Storage, now: datetime) -> None:
    job = {"operation": "noop", "input": {}, "unique": {"key": "ledger", "while": "running"}}
    for _ in range(2):
        schedules.set_next(schedules.create(every_seconds=60.0, job=job), now)
    schedules.fire(now)
    assert storage.value("SELECT count(*) FROM live WHERE claimable_at = 'infinity'") == 1
    assert storage.value("SELECT count(*) FROM jobs WHERE unique_while = 'running'") == 2


def test_the_lateness_is_that_of_the_oldest_due_instant(schedules: Schedules, now: datetime) -> None:
    assert firing.overdue_s(schedules.connection) == 0
    schedules.set_next(schedules.create(every_seconds=60.0), now - timedelta(seconds=90))
    schedules.set_next(schedules.create(every_seconds=60.0, paused=True), now - timedelta(days=1))
    assert 90 <= firing.overdue_s(schedules.connection) < 120


def test_old_fires_are_deleted_a_bounded_number_at_a_time(
    schedules: Schedules, storage: Storage, now: datetime
) -> None:
    schedule = schedules.create(every_seconds=1.0, starts_at=now.isoformat())
    schedules.set_next(schedule, now)
    schedules.fire(now + timedelta(seconds=9))
    storage.rows(
        "UPDATE schedule_fires SET fired_at = fired_at - interval '31 days' WHERE at < %s", (now + 0.1 * MINUTE,)
    )
    assert [firing.delete_fires(schedules.connection, 30, 4) for _ in range(3)] == [4, 2, 0]
    assert len(schedules.fires(schedule)) == 4


def test_one_look_takes_a_bounded_number_of_schedules(schedules: Schedules, now: datetime) -> None:
    for _ in range(5):
        schedules.set_next(schedules.create(every_seconds=60.0), now)
    limits = FiringLimits(2, LIMITS.grace_s)
    assert [schedules.fire(now, limits).locked for _ in range(4)] == [2, 2, 1, 0]


def test_a_job_that_postgresql_refuses_costs_no_other_its_instant(
    schedules: Schedules, storage: Storage, now: datetime
) -> None:
    bad, good = (schedules.create(every_seconds=60.0) for _ in range(2))
    storage.rows(
        "UPDATE schedules SET job = json_build_object('operation', 'noop', 'tags', json_build_array("
        "repeat('x', 3000000))) WHERE id = %s",
        (str(bad.id),),
    )
    storage.rows("CREATE INDEX tags_small ON tags (tag)")  # which takes no such row
    for schedule in (bad, good):
        schedules.set_next(schedule, now)
    with pytest.raises(psycopg2.Error):
        schedules.fire()
    found = list(firing.fire_one_by_one(schedules.connection, OPERATIONS, LIMITS))
    assert sum(error is not None for _, error in found) == 1
    assert schedules.fires(bad) == [(now, "refused", "job")]
    assert schedules.fires(good) == [(now, "fired", None)]

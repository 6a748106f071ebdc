"""The fires of schedules: once an instant, in the transaction that stores their jobs."""

from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from integration.store.support.schedules import LIMITS, Schedules
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
        ('UPDATE schedules SET job = \'{"operation": "square_sum", "queue": "other"}\'', "queue_not_allowed"),
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
    job = {"operation": "square_sum", "input": {}, "unique": {"key": "ledger", "while": "running"}}
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
        "UPDATE schedules SET job = json_build_object('operation', 'square_sum', 'tags', json_build_array("
        "repeat('x', 3000000))) WHERE id = %s",
        (str(bad.id),),
    )
    storage.rows("CREATE INDEX tags_small ON tags (tag)")  # which takes no such row
    for schedule in (bad, good):
        schedules.set_next(schedule, now)
    with pytest.raises(psycopg2.Error):
        schedules.fire()
    found = list(firing.fire_one_by_one(schedules.connection, LIMITS))
    assert sum(error is not None for _, error in found) == 1
    assert schedules.fires(bad) == [(now, "refused", "job")]
    assert schedules.fires(good) == [(now, "fired", None)]


def test_a_schedule_that_cannot_be_decided_costs_no_other_its_instant(
    schedules: Schedules, storage: Storage, now: datetime
) -> None:
    bad, good = (schedules.create(cron="* * * * *") for _ in range(2))
    storage.rows("UPDATE schedules SET zone = 'Europe/Newtown' WHERE id = %s", (str(bad.id),))
    for schedule in (bad, good):
        schedules.set_next(schedule, now)
    batch = schedules.fire(now)
    assert [schedule_id for schedule_id, _ in batch.errors] == [str(bad.id)]
    assert schedules.fires(bad) == [(now, "refused", "timing")]
    assert schedules.fires(good) == [(now, "fired", None)]
    assert schedules.read(bad)["next_at"] == now
    assert schedules.read(bad)["due_at"] == now + MINUTE
    assert schedules.fire(now).locked == 0

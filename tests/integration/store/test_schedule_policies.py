"""The policies of schedules: overlaps of jobs, and instants to which the controller comes late."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from integration.store.support.schedules import LIMITS, Schedules
from integration.store.support.storage import Storage

MINUTE = timedelta(minutes=1)


@pytest.fixture
def schedules(storage: Storage) -> Schedules:
    return Schedules(storage)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


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


@pytest.mark.parametrize("is_default", [False, True])
def test_schedules_submit_so_many_jobs_a_minute_as_the_quota_of_their_tenant(
    schedules: Schedules, storage: Storage, now: datetime, *, is_default: bool
) -> None:
    due = [schedules.create(every_seconds=60.0) for _ in range(5)]
    limits = replace(LIMITS, schedules=2, jobs_per_minute=3 if is_default else 100)
    if not is_default:
        storage.rows("UPDATE tenants SET max_jobs_per_minute = 3")

    def fired(at: datetime) -> dict[tuple[str, str | None], int]:
        """Return the outcomes of an instant of all schedules, in transactions of two."""
        for schedule in due:
            schedules.set_next(schedule, at)
        while schedules.fire(at, limits).locked:
            pass
        return dict(Counter((outcome, why) for s in due for time, outcome, why in schedules.fires(s) if time == at))

    assert fired(now) == {("fired", None): 3, ("refused", "quota"): 2}
    assert fired(now + MINUTE) == {("refused", "quota"): 5}
    storage.rows("UPDATE schedule_fires SET fired_at = fired_at - interval '1 minute'")
    assert fired(now + 2 * MINUTE) == {("fired", None): 3, ("refused", "quota"): 2}

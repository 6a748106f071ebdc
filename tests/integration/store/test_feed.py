"""The change feed: what is recorded of followed queues, by every way in which a job changes."""

from datetime import UTC, datetime, timedelta

import pytest
from integration.store.support.feed import follow, members, number, numbers, read, states
from integration.store.support.storage import LOST, RELEASE, Claimer, Storage, ids, retry_after
from integration.store.support.tenants import add_tenants, fill

from common.domain.errors import FeedExpired, TooManyFollowedQueues
from common.domain.tenancy.queue_policies import ALL_TENANTS, MAX_FOLLOWED_QUEUES
from common.store.queues import queue_state

TRIGGERS = (
    "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'live'::regclass AND tgname LIKE 'record%' AND tgenabled = 'O'"
)


@pytest.fixture
def claimer(storage: Storage) -> Claimer:
    """A worker process, with the queue followed."""
    claimer = storage.claimer()
    follow(storage)
    return claimer


def test_a_job_from_its_submission_to_its_end(storage: Storage, claimer: Claimer) -> None:
    first, second = storage.submit(2)
    claimer.settle(claimer.claim())
    feed = read(storage)
    assert numbers(feed) == [1, 2, 3, 4, 5, 6]
    assert states(feed, first) == states(feed, second) == ["PENDING", "IN_PROGRESS", "SUCCESS"]
    last = members(feed)[-1]
    at = datetime.fromisoformat(last.pop("at"))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert last.pop("number") == 6
    assert last == {
        "job_id": last["job_id"],
        "queue": "default",
        "operation": "square_sum",
        "tags": [],
        "status": "SUCCESS",
        "run": 0,
        "attempt": 1,
        "revision": storage.value("SELECT rev FROM job_states WHERE id = %s", (last["job_id"],)),
        "due_at": None,
        "parked": False,
    }
    assert read(storage, 4).changes == feed.changes[4:]
    assert read(storage, 6).changes == []


def test_jobs_of_other_queues_are_not_recorded_and_pay_no_trigger(storage: Storage) -> None:
    storage.rows("UPDATE workers SET queues = '{default,other}'")
    claimer = storage.claimer()
    assert storage.value(TRIGGERS) == 0, "nobody follows a queue"
    storage.submit(1)
    claimer.settle(claimer.claim())
    assert follow(storage)
    assert not follow(storage), "safe to repeat"
    assert storage.value(TRIGGERS) == 3
    storage.submit(1, queue="other")
    assert read(storage).changes == []
    assert follow(storage, on=False)
    assert storage.value(TRIGGERS) == 0
    storage.submit(1)
    claimer.settle(claimer.claim())
    assert read(storage).changes == []
    assert follow(storage)
    (job,) = storage.submit(1)
    assert states(read(storage), job) == ["PENDING"]


def test_a_job_that_was_stored_before_the_switch_is_recorded_from_then_on(storage: Storage) -> None:
    claimer = storage.claimer()
    waits, runs = storage.submit(2)
    (job,) = claimer.claim(1)
    assert job.id == waits
    follow(storage)
    claimer.settle([job])
    claimer.settle(claimer.claim())
    feed = read(storage)
    assert states(feed, waits) == ["SUCCESS"]
    assert states(feed, runs) == ["IN_PROGRESS", "SUCCESS"]


def test_a_tenant_follows_its_own_jobs_alone(storage: Storage) -> None:
    add_tenants(storage, 3)
    follow(storage, tenant=2)
    for tenant in (1, 2, 3):
        fill(storage, tenant, 1)
    assert [len(read(storage, tenant=tenant).changes) for tenant in (1, 2, 3)] == [0, 1, 0]
    follow(storage, tenant=ALL_TENANTS)
    for tenant in (1, 2, 3):
        fill(storage, tenant, 1)
    assert [len(read(storage, tenant=tenant).changes) for tenant in (1, 2, 3)] == [1, 2, 1]
    assert numbers(read(storage, tenant=2)) == [1, 2], "each tenant has numbers of its own"


def test_retries_releases_failures_and_rescues(storage: Storage, claimer: Claimer) -> None:
    (job,) = storage.submit(1)
    claimer.write(claimer.claim(), retry_after(60))
    storage.age([job], 60)
    claimer.write(claimer.claim(), RELEASE)
    claimer.write(claimer.claim(), LOST)
    feed = read(storage)
    assert states(feed, job) == [
        *("PENDING", "IN_PROGRESS", "RETRYING", "PENDING", "IN_PROGRESS", "PENDING", "IN_PROGRESS", "FAILED"),
    ]
    retrying = members(feed)[2]
    assert retrying["due_at"] > retrying["at"]
    revisions = [change["revision"] for change in members(feed)]
    assert revisions == sorted(revisions)
    assert states(feed, job)[-1] == storage.state(job)


def test_progress_priority_and_requeued_strays_are_no_changes_of_state(storage: Storage, claimer: Claimer) -> None:
    (job,) = storage.submit(1)
    storage.rows("UPDATE live SET priority = 1, claimable_at = clock_timestamp(), rev = rev + 1")
    claimer.claim()
    storage.rows("UPDATE live SET progress = 0.5, rev = rev + 1")
    storage.rows("UPDATE live SET cancel_requested = true, rev = rev + 1")
    storage.rows("UPDATE live SET worker = worker + 1, rev = rev + 1")
    assert states(read(storage), job) == ["PENDING", "IN_PROGRESS"]
    queue_state.raise_starved(storage.connection(by_index=False), 0, 10)
    assert states(read(storage), job) == ["PENDING", "IN_PROGRESS"]


def test_a_cancelled_attempt_ends_cancelled(storage: Storage, claimer: Claimer) -> None:
    (job,) = storage.submit(1)
    jobs = claimer.claim()
    storage.rows("UPDATE live SET cancel_requested = true, rev = rev + 1")
    claimer.settle(jobs)
    assert states(read(storage), job) == ["PENDING", "IN_PROGRESS", "CANCELLED"]


def test_a_change_that_is_rolled_back_is_not_recorded(storage: Storage, claimer: Claimer) -> None:
    session = storage.session()
    with session.cursor() as cursor:
        cursor.execute(
            "INSERT INTO live (id, queue, max_attempts, claimable_at) VALUES (uuidv7(), 'default', 1, now())"
        )
    session.rollback()
    assert read(storage).changes == []


def test_changes_that_are_deleted_are_refused_and_so_are_numbers_to_come(storage: Storage, claimer: Claimer) -> None:
    storage.submit(1)
    number(storage)
    storage.submit(1)
    number(storage)
    storage.rows("DELETE FROM feed_pages WHERE last_number <= 1")
    storage.rows("UPDATE feeds SET deleted_to = 1")
    for after in (0, 3):
        with pytest.raises(FeedExpired) as expired:
            read(storage, after)
        assert (expired.value.oldest, expired.value.newest) == (1, 2)
    assert numbers(read(storage, 1)) == [2] == numbers(read(storage))


def test_ids_of_a_claim_are_in_the_feed(storage: Storage, claimer: Claimer) -> None:
    jobs = storage.submit(1_500)
    claimed = ids(claimer.claim(1_500))
    feed = read(storage)
    assert len(feed.changes) == 3_000
    assert numbers(feed) == list(range(1, 3_001))
    assert sorted(change["job_id"] for change in members(feed)) == sorted(jobs + claimed)


def test_more_queues_than_the_limit_are_not_followed(storage: Storage) -> None:
    storage.rows(
        "INSERT INTO queue_policies (queue, tenant, rev, events)"
        " SELECT 'q' || n, 1, 1, true FROM generate_series(1, %s) n",
        (MAX_FOLLOWED_QUEUES,),
    )
    with pytest.raises(TooManyFollowedQueues):
        follow(storage)
    storage.rows("DELETE FROM queue_policies WHERE queue = 'q1'")
    assert follow(storage)
    (job,) = storage.submit(1)
    storage.submit(1, queue="q2")
    assert states(read(storage), job) == ["PENDING"]
    assert len(read(storage).changes) == 2

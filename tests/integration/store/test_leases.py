"""Leases of worker processes, and the lease of the leading controller."""

from datetime import timedelta

import pytest
from integration.store.support.storage import RELEASE, Storage
from rig.system import until

from common.store.jobs import failures
from common.store.workers import leader, leases
from common.store.workers.leases import LeaseRenewal


def test_a_worker_is_registered_under_a_new_id_with_its_queues_and_operations(storage: Storage) -> None:
    connection = storage.connection()
    before = storage.value("SELECT clock_timestamp()")
    first = leases.register(connection, 30, 4711, "host-a", ["default", "slow"], ["square_sum"])
    second = leases.register(connection, 30, 4711, "host-a", ["default"], [])
    assert second > first
    ((pid, host, queues, operations, held_jobs, low_water_marks, alive_until, ended_at),) = storage.rows(
        """SELECT pid, host, queues, operations, held_jobs, low_water_marks, alive_until, ended_at
           FROM workers WHERE id = %s""",
        (first,),
    )
    assert (pid, host, queues, operations, held_jobs, low_water_marks, ended_at) == (
        4711,
        "host-a",
        ["default", "slow"],
        ["square_sum"],
        0,
        {},
        None,
    )
    assert (
        before + timedelta(seconds=30)
        <= alive_until
        <= storage.value("SELECT clock_timestamp()") + timedelta(seconds=30)
    )


def test_one_statement_renews_all_leases_but_expired_and_ended_ones(storage: Storage) -> None:
    alive, expired, ended, unknown = storage.claimer(1), storage.claimer(1), storage.claimer(1), 1 << 40
    expired.expire()
    assert leases.end_lease(ended.connection, ended.id)
    marks = {"default": {"5": "2026-01-01 00:00:00+00"}}
    renewed = leases.renew(
        alive.connection,
        60,
        [
            LeaseRenewal(alive.id, 7, marks),
            LeaseRenewal(expired.id, 7, marks),
            LeaseRenewal(ended.id, 7, marks),
            LeaseRenewal(unknown, 7, marks),
        ],
    )
    assert renewed == {alive.id}
    assert storage.rows(
        "SELECT held_jobs, low_water_marks, alive_until > now() + interval '50 s' FROM workers ORDER BY id"
    ) == [
        (7, marks, True),
        (0, {}, False),
        (0, {}, False),
    ]
    assert leases.renew(alive.connection, 60, []) == set()


def test_the_busy_hosts_are_those_of_live_processes_with_a_job_by_their_longest_one(storage: Storage) -> None:
    first, second, idle, ended = (storage.claimer() for _ in range(4))
    renewals = [(first, 5.0), (second, 90.5), (idle, None), (ended, 500.0)]
    leases.renew(
        first.connection, 60, [LeaseRenewal(claimer.id, 1, {}, running_s=seconds) for claimer, seconds in renewals]
    )
    storage.rows("UPDATE workers SET host = 'pod-' || id")
    storage.rows("UPDATE workers SET host = 'pod' WHERE id = ANY (%s)", ([first.id, second.id],))
    assert leases.end_lease(ended.connection, ended.id)
    hosts = leases.busy_hosts(first.connection, 10)
    assert hosts.keys() == {"pod"}
    assert 90.5 <= hosts["pod"].running_s < 150
    now = storage.value("SELECT extract(epoch FROM clock_timestamp())::float8")
    assert now - hosts["pod"].running_s == pytest.approx(hosts["pod"].started, abs=20)
    assert leases.busy_hosts(first.connection, 0) == {}


@pytest.mark.parametrize("since", ["infinity", "-infinity", "1900-01-01", "2900-01-01"])
def test_a_host_that_claims_to_be_busy_since_an_impossible_time_counts_as_idle(storage: Storage, since: str) -> None:
    claimer = storage.claimer()
    storage.rows("UPDATE workers SET busy_since = %s", (since,))
    assert leases.busy_hosts(claimer.connection, 10) == {}


def test_a_renewal_is_one_hot_update(storage: Storage) -> None:
    claimer = storage.claimer()
    for _ in range(20):
        assert claimer.renew()
    claimer.connection._cursor.execute("SELECT pg_stat_force_next_flush()")
    counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'workers'"
    assert until("the updates are counted", lambda: rows if (rows := storage.rows(counts)) != [(0, 0)] else None) == [
        (20, 20)
    ]


def test_held_jobs_beyond_the_range_of_their_column_are_clamped(storage: Storage) -> None:
    claimer = storage.claimer()
    assert leases.renew(claimer.connection, 60, [LeaseRenewal(claimer.id, 100_000, {})]) == {claimer.id}
    assert storage.value("SELECT held_jobs FROM workers") == 32_767


def test_a_lease_expires_by_the_clock_of_the_database(storage: Storage) -> None:
    claimer, controller = storage.claimer(0.3), storage.connection(by_index=False)
    assert leases.expired_workers(controller, 10) == []
    began = storage.value("SELECT started_at FROM workers")
    until("the lease has expired", lambda: leases.expired_workers(controller, 10) == [claimer.id])
    assert storage.value("SELECT clock_timestamp()") - began >= timedelta(seconds=0.3)
    assert not claimer.renew()


def test_an_ended_worker_cannot_renew_or_claim(storage: Storage) -> None:
    claimer = storage.claimer()
    assert leases.end_lease(claimer.connection, claimer.id)
    ended_at = storage.value("SELECT ended_at FROM workers")
    assert not leases.end_lease(claimer.connection, claimer.id)
    assert not claimer.renew()
    assert storage.value("SELECT ended_at FROM workers") == ended_at
    storage.submit()
    assert claimer.claim() == []
    claimer.expire()
    assert leases.expired_workers(claimer.connection, 10) == []


def test_a_worker_that_holds_a_job_is_not_ended_before_the_job_is_released(storage: Storage) -> None:
    """A job that another transaction locks is not released: its lease expires, and the controller rescues it."""
    claimer, parent = storage.claimer(), storage.connection(by_index=False)
    storage.submit()
    jobs = claimer.claim()
    assert not leases.end_lease(parent, claimer.id)
    with parent.transaction():
        failures.write_decisions(parent, claimer.id, [(job, RELEASE) for job in jobs])
        assert leases.end_lease(parent, claimer.id)


def test_expired_workers_are_returned_in_order_up_to_a_limit_without_locked_ones(storage: Storage) -> None:
    lost = [storage.claimer() for _ in range(3)]
    for claimer in lost:
        claimer.expire()
    first, second = storage.connection(by_index=False), storage.connection(by_index=False)
    with first.transaction():
        assert leases.expired_workers(first, 2) == [lost[0].id, lost[1].id]
        assert leases.expired_workers(second, 10) == [lost[2].id]


@pytest.mark.parametrize(("ended_days_ago", "kept"), [(None, True), (6.9, True), (7.1, False)])
def test_only_workers_that_ended_long_ago_are_deleted(
    storage: Storage, ended_days_ago: float | None, kept: bool
) -> None:
    claimer = storage.claimer()
    storage.rows(
        """UPDATE workers SET started_at = now() - interval '99 days', alive_until = now() - interval '99 days',
                              ended_at = now() - %s * interval '1 day'""",
        (ended_days_ago,),
    )
    assert leases.delete_ended(claimer.connection, 7) == (not kept)
    assert storage.value("SELECT count(*) FROM workers") == kept


def test_one_controller_leads_and_keeps_its_term(storage: Storage) -> None:
    first, second = storage.connection(by_index=False), storage.connection(by_index=False)
    assert leader.lead(first, "one", 60) == 1
    assert leader.lead(second, "other", 60) is None
    assert leader.lead(first, "one", 60) == 1
    leader.resign(second, "other")
    assert leader.lead(second, "other", 60) is None, "only the leader can resign"


def test_another_controller_leads_after_expiry_or_resignation_with_a_greater_term(storage: Storage) -> None:
    first, second = storage.connection(by_index=False), storage.connection(by_index=False)
    began = storage.value("SELECT clock_timestamp()")
    assert leader.lead(first, "one", 0.3) == 1
    assert until("the other leads", lambda: leader.lead(second, "other", 60)) == 2
    assert storage.value("SELECT clock_timestamp()") - began >= timedelta(seconds=0.25)
    assert leader.lead(first, "one", 60) is None
    leader.resign(second, "other")
    assert leader.lead(first, "one", 60) == 3


def test_an_expired_leader_leads_again_under_its_term_if_no_other_did(storage: Storage) -> None:
    connection = storage.connection(by_index=False)
    assert leader.lead(connection, "one", 0.001) == 1
    until("the lease has expired", lambda: storage.value("SELECT until < clock_timestamp() FROM leaders"))
    assert leader.lead(connection, "one", 60) == 1


def test_of_two_controllers_at_once_one_leads(storage: Storage) -> None:
    first, second = storage.connection(by_index=False), storage.connection(by_index=False)
    with first.transaction():
        assert leader.lead(first, "one", 60) == 1
        attempt = storage.begin(lambda: leader.lead(second, "other", 60))
        storage.until_blocked(second.driver_connection.info.backend_pid)
    assert attempt.result(10) is None

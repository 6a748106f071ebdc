"""Leases of worker processes, and the lease of the controller that leads."""

from datetime import timedelta

import pytest
from integration.store.support.storage import BACK, Storage
from rig.system import until

from common.store.jobs import failures
from common.store.workers import leader, leases
from common.store.workers.leases import LeaseRenewal


def test_a_worker_is_registered_with_what_it_serves_under_an_id_of_its_own(storage: Storage) -> None:
    connection = storage.connection()
    before = storage.one("SELECT clock_timestamp()")
    first = leases.register(connection, 30, 4711, "host-a", ["default", "slow"], ["square_sum"])
    second = leases.register(connection, 30, 4711, "host-a", ["default"], [])
    assert second > first
    ((pid, host, queues, operations, busy, low, alive_until, ended_at),) = storage.rows(
        "SELECT pid, host, queues, operations, busy, low, alive_until, ended_at FROM workers WHERE id = %s", (first,)
    )
    assert (pid, host, queues, operations, busy, low, ended_at) == (4711, "host-a", ["default", "slow"], ["square_sum"], 0, {}, None)
    assert before + timedelta(seconds=30) <= alive_until <= storage.one("SELECT clock_timestamp()") + timedelta(seconds=30)


def test_leases_are_renewed_together_and_only_those_that_have_not_run_out_or_ended(storage: Storage) -> None:
    alive, expired, ended, unknown = storage.claimer(1), storage.claimer(1), storage.claimer(1), 1 << 40
    expired.expire()
    assert leases.end_lease(ended.connection, ended.id)
    low = {"default": {"5": "2026-01-01 00:00:00+00"}}
    renewed = leases.renew(
        alive.connection, 60, [LeaseRenewal(alive.id, 7, low), LeaseRenewal(expired.id, 7, low), LeaseRenewal(ended.id, 7, low), LeaseRenewal(unknown, 7, low)]
    )
    assert renewed == {alive.id}
    assert storage.rows("SELECT busy, low, alive_until > now() + interval '50 s' FROM workers ORDER BY id") == [(7, low, True), (0, {}, False), (0, {}, False)]
    assert leases.renew(alive.connection, 60, []) == set()


def test_a_renewal_is_one_update_in_place(storage: Storage) -> None:
    claimer = storage.claimer()
    for _ in range(20):
        assert claimer.publish()
    claimer.connection._cursor.execute("SELECT pg_stat_force_next_flush()")
    counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'workers'"
    assert until("the updates are counted", lambda: rows if (rows := storage.rows(counted)) != [(0, 0)] else None) == [(20, 20)]


def test_more_busy_than_the_column_holds_is_cut(storage: Storage) -> None:
    claimer = storage.claimer()
    assert leases.renew(claimer.connection, 60, [LeaseRenewal(claimer.id, 100_000, {})]) == {claimer.id}
    assert storage.one("SELECT busy FROM workers") == 32_767


def test_a_lease_runs_out_by_the_clock_of_the_database_alone(storage: Storage) -> None:
    claimer, controller = storage.claimer(0.3), storage.connection(by_index=False)
    assert leases.expired_workers(controller, 10) == []
    began = storage.one("SELECT started_at FROM workers")
    until("it has run out", lambda: leases.expired_workers(controller, 10) == [claimer.id])
    assert storage.one("SELECT clock_timestamp()") - began >= timedelta(seconds=0.3)
    assert not claimer.publish()


def test_a_worker_ends_once_and_for_ever(storage: Storage) -> None:
    claimer = storage.claimer()
    assert leases.end_lease(claimer.connection, claimer.id)
    ended_at = storage.one("SELECT ended_at FROM workers")
    assert not leases.end_lease(claimer.connection, claimer.id)
    assert not claimer.publish()
    assert storage.one("SELECT ended_at FROM workers") == ended_at
    storage.submit()
    assert claimer.claim() == []
    claimer.expire()
    assert leases.expired_workers(claimer.connection, 10) == []


def test_a_worker_that_holds_a_job_does_not_end_before_the_job_is_given_back(storage: Storage) -> None:
    """Also one that somebody else's transaction keeps from being given back: the lease runs out and the controller comes."""
    claimer, other = storage.claimer(), storage.connection(by_index=False)
    storage.submit()
    jobs = claimer.claim()
    assert not leases.end_lease(other, claimer.id)
    with other.transaction():
        failures.write_decisions(other, claimer.id, [(job, BACK) for job in jobs])
        assert leases.end_lease(other, claimer.id)


def test_expired_workers_are_told_in_order_up_to_a_limit_and_locked_ones_passed_over(storage: Storage) -> None:
    lost = [storage.claimer() for _ in range(3)]
    for claimer in lost:
        claimer.expire()
    one, other = storage.connection(by_index=False), storage.connection(by_index=False)
    with one.transaction():
        assert leases.expired_workers(one, 2) == [lost[0].id, lost[1].id]
        assert leases.expired_workers(other, 10) == [lost[2].id]


@pytest.mark.parametrize(("ended_days_ago", "kept"), [(None, True), (6.9, True), (7.1, False)])
def test_only_workers_that_ended_long_ago_are_forgotten(storage: Storage, ended_days_ago: float | None, kept: bool) -> None:
    claimer = storage.claimer()
    storage.rows(
        "UPDATE workers SET started_at = now() - interval '99 days', alive_until = now() - interval '99 days', ended_at = now() - %s * interval '1 day'",
        (ended_days_ago,),
    )
    assert leases.delete_ended(claimer.connection, 7) == (not kept)
    assert storage.one("SELECT count(*) FROM workers") == kept


def test_one_controller_leads_and_keeps_the_lead_under_one_term(storage: Storage) -> None:
    one, other = storage.connection(by_index=False), storage.connection(by_index=False)
    assert leader.lead(one, "one", 60) == 1
    assert leader.lead(other, "other", 60) is None
    assert leader.lead(one, "one", 60) == 1
    leader.resign(other, "other")
    assert leader.lead(other, "other", 60) is None, "only its holder gives it up"


def test_the_lead_goes_on_after_expiry_or_resignation_with_a_greater_term(storage: Storage) -> None:
    one, other = storage.connection(by_index=False), storage.connection(by_index=False)
    began = storage.one("SELECT clock_timestamp()")
    assert leader.lead(one, "one", 0.3) == 1
    assert until("the other leads", lambda: leader.lead(other, "other", 60)) == 2
    assert storage.one("SELECT clock_timestamp()") - began >= timedelta(seconds=0.25)
    assert leader.lead(one, "one", 60) is None
    leader.resign(other, "other")
    assert leader.lead(one, "one", 60) == 3


def test_a_leader_that_was_not_heard_of_leads_again_under_its_term_if_nobody_else_did(storage: Storage) -> None:
    connection = storage.connection(by_index=False)
    assert leader.lead(connection, "one", 0.001) == 1
    until("it has run out", lambda: storage.one("SELECT until < clock_timestamp() FROM leaders"))
    assert leader.lead(connection, "one", 60) == 1


def test_of_two_that_ask_at_once_one_leads(storage: Storage) -> None:
    one, other = storage.connection(by_index=False), storage.connection(by_index=False)
    with one.transaction():
        assert leader.lead(one, "one", 60) == 1
        asked = storage.begin(lambda: leader.lead(other, "other", 60))
        storage.until_blocked(other.driver_connection.info.backend_pid)
    assert asked.result(10) is None

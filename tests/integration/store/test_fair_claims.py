"""Fair share: what a worker process claims while several tenants wait."""

import pytest
from integration.store.support.storage import RELEASE, Storage, ids, retry_after
from integration.store.support.tenants import FairClaimer, add_tenants, by_tenant, fill, requeue_strays
from rig.system import until

from common.store.jobs import fair_claims

HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"


@pytest.fixture
def claimer(storage: Storage) -> FairClaimer:
    add_tenants(storage, 4, t4=3)
    return FairClaimer(storage)


def test_a_single_job_behind_a_flood_of_another_tenant_is_in_the_next_claim(
    storage: Storage, claimer: FairClaimer
) -> None:
    fill(storage, 1, 3_000, HOUR_AGO)
    assert by_tenant(claimer.run()) == {1: 100}
    for _ in range(3):
        (single,) = fill(storage, 2, 1)
        jobs = claimer.run()
        assert single in ids(jobs)
        assert len(jobs) == 100, "the flood gets the rest"


def test_one_tenant_in_an_installation_is_claimed_as_ever(storage: Storage) -> None:
    claimer = FairClaimer(storage)
    jobs = fill(storage, 1, 250, HOUR_AGO)
    assert [ids(claimer.run()), ids(claimer.run())] == [jobs[:100], jobs[100:200]]
    assert claimer.known.line_marks == {}
    assert ids(claimer.run()) == jobs[200:]
    assert claimer.run() == []


@pytest.mark.parametrize("tenants", [(1, 2), (1, 2, 3)])
def test_equal_tenants_get_equal_shares_until_the_end_and_every_job_runs_once(
    storage: Storage, claimer: FairClaimer, tenants: tuple[int, ...]
) -> None:
    jobs = [fill(storage, tenant, 1_000, HOUR_AGO) for tenant in tenants]
    served: dict[int, int] = {}
    for _ in range(7):
        for tenant, count in by_tenant(claimer.run()).items():
            served[tenant] = served.get(tenant, 0) + count
    assert min(served.values()) > 0.8 * max(served.values()), served
    ran: list[str] = []
    while claimed := claimer.run():
        ran += ids(claimed)
    assert len(ran) == len(set(ran)) == sum(map(len, jobs)) - 700


def test_shares_go_by_weight(storage: Storage, claimer: FairClaimer) -> None:
    for tenant in (1, 4):
        fill(storage, tenant, 2_000, HOUR_AGO)
    served = {1: 0, 4: 0}
    for _ in range(12):
        for tenant, count in by_tenant(claimer.run()).items():
            served[tenant] += count
    assert 2.5 < served[4] / served[1] < 3.5, served


def test_shares_are_of_the_time_that_jobs_take(storage: Storage, claimer: FairClaimer) -> None:
    claimer.job_s = {2: 0.01}
    for tenant in (1, 2):
        fill(storage, tenant, 2_000, HOUR_AGO)
    for _ in range(4):
        claimer.run()
    served = {1: 0, 2: 0}
    for _ in range(10):
        for tenant, count in by_tenant(claimer.run()).items():
            served[tenant] += count
    assert 8 < served[1] / served[2] < 12, served


def test_long_jobs_of_one_tenant_that_come_one_by_one_leave_the_others_their_share(
    storage: Storage, claimer: FairClaimer
) -> None:
    """A process takes one job at a time. Who always has a new job waiting is served in turn, not always first."""
    claimer.job_s = {1: 10.0, 2: 100.0}
    fill(storage, 1, 300, HOUR_AGO)
    claimer.run(1)
    served_s = {1: 0.0, 2: 0.0}
    fill(storage, 2, 1)
    for _ in range(110):
        (job,) = claimer.run(1)
        served_s[job.tenant] += claimer.job_s[job.tenant]
        if job.tenant == 2:
            fill(storage, 2, 1)
    assert 0.7 < served_s[1] / served_s[2] < 1.4, served_s


def test_priorities_order_the_jobs_of_a_tenant_and_no_others(storage: Storage, claimer: FairClaimer) -> None:
    urgent = fill(storage, 1, 1_000, HOUR_AGO, priority=0)
    (less,) = fill(storage, 1, 1, HOUR_AGO, priority=1)
    idle = fill(storage, 2, 5, HOUR_AGO, priority=9)
    (first,) = fill(storage, 2, 1, HOUR_AGO, priority=3)
    assert set(ids(claimer.claim(10))) <= set(urgent)
    jobs = ids(claimer.claim(100))
    assert {first, *idle} <= set(jobs), "the least urgent job of one beside the most urgent ones of another"
    assert jobs.index(first) < min(jobs.index(job) for job in idle)
    assert less not in jobs
    rest = [job for _ in range(12) for job in ids(claimer.claim(100))]
    assert rest[-1] == less or rest.index(less) > 700


def test_fifty_tenants_with_backlogs_are_served_in_turn(storage: Storage) -> None:
    add_tenants(storage, 50)
    claimer = FairClaimer(storage)
    for tenant in range(1, 51):
        fill(storage, tenant, 100, HOUR_AGO)
    served: dict[int, int] = {}
    for _ in range(100):
        for tenant, count in by_tenant(claimer.run(32)).items():
            served[tenant] = served.get(tenant, 0) + count
    assert len(served) == 50
    assert max(served.values()) <= 1.5 * min(served.values()), served


def test_a_backlog_that_comes_all_at_once_does_not_delay_the_next_look(storage: Storage, claimer: FairClaimer) -> None:
    """News are read of a few thousand jobs; of more the process looks at the lines. Both find who has come."""
    claimer.run()
    fill(storage, 1, fair_claims.MAX_NEWS + 2_000, "now()")
    assert by_tenant(claimer.run()) == {1: 100}
    claimer.run()
    (single,) = fill(storage, 2, 1)
    assert single in ids(claimer.run())
    assert claimer.known._look_at - claimer.known._looked_at <= 1


# --- nothing is left behind


def _rounds(storage: Storage, *claimers: FairClaimer) -> None:
    """Leave each claimer within a backlog of two tenants."""
    for tenant in (1, 2):
        fill(storage, tenant, 400, HOUR_AGO)
    for claimer in claimers:
        claimer.run(10)
        claimer.run(10)
        assert claimer.known.line_marks != {}
        claimer.renew()


def test_jobs_of_a_claim_that_is_rolled_back_between_two_tenants_are_requeued(
    storage: Storage, claimer: FairClaimer
) -> None:
    other = FairClaimer(storage)
    _rounds(storage, claimer, other)
    claimer.connection._cursor.execute("BEGIN")
    lost = ids(claimer.claim(20))
    other.run(40)
    other.run(40)
    claimer.connection._cursor.execute("ROLLBACK")
    storage.rows("UPDATE workers SET ended_at = now() WHERE id = %s", (claimer.id,))
    other.renew()
    assert len(requeue_strays(storage, None)) == 20
    assert requeue_strays(storage, None) == []
    rest = [job for _ in range(30) for job in ids(other.run(100))]
    assert set(lost) <= set(rest)
    assert storage.value("SELECT count(*) FROM live") == 0


@pytest.mark.parametrize("way", ["terminate", "close"])
def test_a_process_that_is_killed_while_it_claims_by_line_leaves_strays_that_are_requeued(
    storage: Storage, claimer: FairClaimer, way: str
) -> None:
    other = FairClaimer(storage)
    _rounds(storage, claimer, other)
    claimer.connection._cursor.execute("BEGIN")
    lost = ids(claimer.claim(20))
    other.run(40)
    if way == "terminate":
        storage.value("SELECT pg_terminate_backend(%s)", (claimer.pid,))
    else:
        claimer.connection.close()
    locked = "SELECT count(*) FROM (SELECT FROM live WHERE worker IS NULL FOR UPDATE SKIP LOCKED) free"
    waiting = storage.value("SELECT count(*) FROM live WHERE worker IS NULL")
    until("its locks are released", lambda: storage.value(locked) == waiting)
    storage.rows("UPDATE workers SET ended_at = now() WHERE id = %s", (claimer.id,))
    while other.run(100):
        pass
    other.renew()
    assert len(requeue_strays(storage, None)) == 20
    assert {job for _ in range(3) for job in ids(other.run(100))} == set(lost)


@pytest.mark.parametrize("tenant", [1, 3], ids=["with a backlog", "that nobody knew"])
def test_an_insert_that_commits_late_is_found_while_others_have_a_backlog(
    storage: Storage, claimer: FairClaimer, tenant: int
) -> None:
    _rounds(storage, claimer)
    (late,) = fill(storage, tenant, 1, "clock_timestamp() - interval '20 s'" if tenant == 3 else HOUR_AGO)
    if tenant == 1:
        storage.rows("UPDATE live SET claimable_at = claimable_at - interval '5 s' WHERE id = %s", (late,))
    claimer.run(10)
    claimer.renew()
    assert storage.state(late) == "PENDING", "no claim has found it"
    assert requeue_strays(storage, None) == ["default"]
    assert requeue_strays(storage, None) == []
    if tenant == 3:
        assert late in ids(claimer.run(100))
    rest = [job for _ in range(30) for job in ids(claimer.run(100))]
    assert storage.value("SELECT count(*) FROM live") == 0, rest


def test_a_backlog_of_several_tenants_is_never_taken_for_strays(storage: Storage, claimer: FairClaimer) -> None:
    other = FairClaimer(storage)
    _rounds(storage, claimer, other)
    fill(storage, 3, 50, HOUR_AGO)
    FairClaimer(storage).renew()
    before = storage.rows("SELECT id, claimable_at, rev FROM live WHERE worker IS NULL AND tenant < 3 ORDER BY id")
    for process in (claimer, other):
        process.run(10)
        process.renew()
    moved = requeue_strays(storage, None)
    assert len(moved) == 50, "an hour old, as if committed late"
    after = storage.rows("SELECT id, claimable_at, rev FROM live WHERE worker IS NULL AND tenant < 3 ORDER BY id")
    assert set(after) <= set(before)


def test_a_process_that_has_not_claimed_for_long_hides_no_strays(storage: Storage, claimer: FairClaimer) -> None:
    """Its parent no longer says which lines it has. A backlog of its is then above the marks of no other process."""
    other = FairClaimer(storage)
    _rounds(storage, claimer, other)
    (late,) = fill(storage, 1, 1, "clock_timestamp() - interval '2 hours'")
    storage.rows("UPDATE workers SET line_marks = '{}' WHERE id = %s", (claimer.id,))
    other.run(10)
    other.renew()
    assert requeue_strays(storage, None) == ["default"]
    while other.run(100):
        pass
    assert storage.state(late) == "SUCCESS"


def test_scheduled_and_retried_jobs_of_another_tenant_are_claimed_when_they_come_due(
    storage: Storage, claimer: FairClaimer
) -> None:
    fill(storage, 1, 5_000, HOUR_AGO)
    (retried,) = fill(storage, 2, 1)
    while retried not in ids(jobs := claimer.claim()):
        claimer.settle(jobs)
    claimer.write([job for job in jobs if job.id == retried], retry_after(0.6))
    claimer.settle([job for job in jobs if job.id != retried])
    (scheduled,) = fill(storage, 3, 1, "clock_timestamp() + interval '0.7 s'")
    due = "SELECT count(*) FROM live WHERE id = ANY (%s::uuid[]) AND claimable_at <= now()"
    assert not {retried, scheduled} & set(ids(claimer.run()))
    until("both are due", lambda: storage.value(due, ([retried, scheduled],)) == 2)
    assert {retried, scheduled} <= set(ids(claimer.run()))


def test_a_released_job_is_claimed_again_between_two_tenants(storage: Storage, claimer: FairClaimer) -> None:
    _rounds(storage, claimer)
    jobs = claimer.claim(10)
    claimer.write(jobs, RELEASE)
    ran = [job for _ in range(20) for job in ids(claimer.run(100))]
    assert set(ids(jobs)) <= set(ran)
    assert storage.value("SELECT count(*) FROM live") == 0

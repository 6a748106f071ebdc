"""The quota of running jobs at the claim: who is at it is passed by, and keeps its places."""

import pytest
from integration.store.support.storage import Storage, ids
from integration.store.support.tenants import FairClaimer, add_tenants, by_tenant, fill, requeue_strays

from common.domain.job import ClaimedJob
from common.store.tenancy import usage_counts

HOUR_AGO = "clock_timestamp() - interval '1 hour' + row_number() OVER () * interval '1 us'"


@pytest.fixture
def claimers(storage: Storage) -> tuple[FairClaimer, FairClaimer]:
    """Two processes; tenant 2 may run ten jobs."""
    add_tenants(storage, 3)
    storage.rows("UPDATE tenants SET max_running_jobs = 10 WHERE id = 2")
    count(storage)
    return FairClaimer(storage), FairClaimer(storage)


def count(storage: Storage) -> None:
    """Count as the controller does."""
    usage_counts.count_jobs(storage.connection(), 0, 0)


def end(claimer: FairClaimer, jobs: list[ClaimedJob]) -> None:
    for job in jobs:
        claimer.known.share.ran(job.tenant, 0.001)
        claimer.tenants.ended(job.tenant)
    claimer.settle(jobs)
    claimer.tenants.settled()


def test_two_processes_claim_together_no_more_than_the_quota_and_others_get_the_rest(
    storage: Storage, claimers: tuple[FairClaimer, FairClaimer]
) -> None:
    mine, others = fill(storage, 2, 100, HOUR_AGO), fill(storage, 1, 100, HOUR_AGO)
    first, second = (claimer.claim(40) for claimer in claimers)
    assert by_tenant(first) == by_tenant(second) == {2: 5, 1: 35}
    count(storage)
    assert by_tenant(claimers[0].claim(40)) == {1: 30}, "it is at its quota"
    end(claimers[1], [job for job in second if job.tenant == 2])
    again = claimers[1].claim(40)
    assert by_tenant(again) == {2: 5}, "the places of those that have ended, at once"
    assert ids([*first, *again])[:5] == mine[:5]
    assert storage.value("SELECT count(worker) FROM live WHERE tenant = 2") == 10
    assert others


def test_a_tenant_alone_is_held_to_its_quota_and_all_its_jobs_run_in_their_order(
    storage: Storage, claimers: tuple[FairClaimer, FairClaimer]
) -> None:
    mine, claimer = fill(storage, 2, 60, HOUR_AGO), claimers[0]
    ran: list[str] = []
    for _ in range(20):
        jobs = claimer.claim(400)
        assert len(jobs) <= 5
        ran += ids(jobs)
        end(claimer, jobs)
        claimer.renew()
        assert requeue_strays(storage, None) == [], "its jobs keep their places"
        count(storage)
    assert ran == mine


def test_a_job_that_comes_while_its_tenant_is_at_its_quota_is_claimed_when_there_is_room(
    storage: Storage, claimers: tuple[FairClaimer, FairClaimer]
) -> None:
    fill(storage, 2, 10, HOUR_AGO)
    held = [job for claimer in claimers for job in claimer.claim(40)]
    assert len(held) == 10
    count(storage)
    (late,) = fill(storage, 2, 1)
    fill(storage, 1, 50)
    for claimer in claimers:
        assert by_tenant(claimer.claim(20)) == {1: 20}
    end(claimers[0], held[:1])
    assert late in ids(claimers[0].claim(20))


def test_an_old_count_and_no_count_limit_nobody(storage: Storage, claimers: tuple[FairClaimer, FairClaimer]) -> None:
    storage.rows("UPDATE tenants SET max_running_jobs = 0 WHERE id = 2")
    fill(storage, 2, 30, HOUR_AGO)
    assert claimers[0].claim(10) == []
    storage.rows("UPDATE usage_counts SET at = at - interval '31 s'")
    assert len(claimers[0].claim(10)) == 10
    storage.rows("DELETE FROM usage_counts")
    assert len(claimers[1].claim(10)) == 10


def test_the_quota_of_the_settings_is_that_of_tenants_without_one(storage: Storage) -> None:
    add_tenants(storage, 2)
    usage_counts.count_jobs(storage.connection(), 0, 3)
    claimer = FairClaimer(storage, default_max_running_jobs=3)
    fill(storage, 1, 20, HOUR_AGO)
    fill(storage, 2, 20, HOUR_AGO)
    assert by_tenant(claimer.claim(40)) == {1: 3, 2: 3}
    usage_counts.count_jobs(storage.connection(), 0, 3)
    assert claimer.claim(40) == []

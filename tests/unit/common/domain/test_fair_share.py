"""Fair share: who is served next, and how much of a claim each tenant gets."""

import random

import pytest

from common.domain.tenancy.fair_share import MAX_TURNS, FairShare


def serve(share: FairShare, waiting: dict[int, float], jobs: int, claims: int) -> dict[int, float]:
    """Claim from tenants that always have more jobs, each of which takes so many seconds; returns what each had."""
    had = dict.fromkeys(waiting, 0.0)
    for _ in range(claims):
        left = jobs
        for tenant, most in share.turns(waiting, jobs):
            count = min(most, left)
            left -= count
            if count:
                share.claimed(tenant, count)
            for _ in range(count):
                share.ran(tenant, waiting[tenant])
            had[tenant] += count * waiting[tenant]
        assert left == 0, "somebody waits, so the claim is full"
    return had


def test_nobody_waits() -> None:
    assert FairShare().turns([], 100) == []


def test_who_waits_alone_gets_all() -> None:
    share = FairShare()
    for _ in range(3):
        assert share.turns([7], 100) == [(7, 100)]
        share.claimed(7, 100)


@pytest.mark.parametrize("jobs", [1, 3, 100, 400])
def test_time_is_shared_by_weight_whatever_the_jobs_take(jobs: int) -> None:
    share = FairShare({2: 3.0, 3: 0.5})
    serve(share, {1: 0.002, 2: 0.02, 3: 0.0005}, jobs, 200)
    had = serve(share, {1: 0.002, 2: 0.02, 3: 0.0005}, jobs, 4_000 // jobs + 200)
    assert had[2] / had[1] == pytest.approx(3, rel=0.1)
    assert had[3] / had[1] == pytest.approx(0.5, rel=0.1)


def test_who_comes_is_next_and_has_no_credit_for_the_time_before() -> None:
    share = FairShare()
    serve(share, {1: 0.001, 2: 0.001}, 10, 100)
    assert share.turns([1, 2, 3], 10)[0][0] == 3
    had = serve(share, {1: 0.001, 2: 0.001, 3: 0.001}, 10, 100)
    assert had[3] < 1.2 * had[1]


def test_what_a_tenant_had_while_it_was_alone_is_no_debt() -> None:
    share = FairShare()
    serve(share, {1: 0.001}, 100, 50)
    share.alone(1)
    had = serve(share, {1: 0.001, 2: 0.001}, 100, 50)
    assert had[1] == pytest.approx(had[2], rel=0.1)


def test_long_jobs_are_paid_for_later() -> None:
    """A claim takes a job as what its tenant's jobs were; what it took more counts when it has ended."""
    share = FairShare()
    share.turns([1, 2], 1)
    share.claimed(2, 1)
    share.ran(2, 100.0)
    had = serve(share, {1: 1.0, 2: 1.0}, 1, 95)
    assert had == {1: 95.0, 2: 0.0}


def test_a_claim_has_a_limited_number_of_turns_and_everyone_comes_in_turn() -> None:
    share, waiting = FairShare(), dict.fromkeys(range(1, 101), 0.001)
    assert len(share.turns(waiting, 400)) == MAX_TURNS
    had = serve(share, waiting, 400, 50)
    assert min(had.values()) > 0
    assert max(had.values()) <= 2 * min(had.values())


def test_nothing_is_owed_once_nobody_waits() -> None:
    share = FairShare()
    serve(share, {1: 0.001}, 100, 10)
    share.forget()
    assert [tenant for tenant, _ in share.turns([1, 2], 10)] == [1, 2]


def test_shares_of_random_tenants_are_whole_jobs_that_fill_the_claim() -> None:
    chance = random.Random(1)
    for _ in range(300):
        share = FairShare({tenant: chance.choice([0.01, 1, 1000]) for tenant in range(1, 20)})
        for tenant in range(1, 20):
            share.ran(tenant, chance.choice([0.0, 0.001, 10.0]))
        jobs = chance.randint(1, 400)
        turns = share.turns(range(1, 20), jobs)
        assert all(1 <= most <= max(jobs, 1) for _, most in turns), turns
        assert sum(most for _, most in turns) >= jobs

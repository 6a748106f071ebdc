"""The decision about an attempt without a result."""

from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.domain.decisions import (
    RELEASED,
    WORKER_LOST,
    AttemptOutcome,
    Fail,
    Failure,
    Release,
    Retry,
    decide,
    timed_out,
)
from common.domain.job import ClaimedJob
from common.domain.retry import RetryPolicy

POLICY = RetryPolicy(max_attempts=3, base_s=2.0, cap_s=60.0)
CHARGED = [AttemptOutcome.ERROR, AttemptOutcome.TIMEOUT, AttemptOutcome.LOST]
NOT_QUITE_ONE = 0.9999999999999999

policies = st.builds(RetryPolicy, base_s=st.floats(0.001, 1e6), cap_s=st.floats(0.001, 1e6))
jitters = st.floats(0, NOT_QUITE_ONE)


def claimed(attempt: int, released: int = 0, max_attempts: int = 3) -> ClaimedJob:
    return ClaimedJob("00000000-0000-7000-8000-000000000000", attempt, released, max_attempts, "square_sum", "{}", None)


def failure(outcome: AttemptOutcome) -> Failure:
    return Failure(outcome, "SomeError", "some text")


@given(
    st.integers(1, 32_767),
    st.integers(0, 32_767),
    st.integers(1, 1000),
    st.sampled_from(AttemptOutcome),
    policies,
    jitters,
)
@settings(deadline=None, max_examples=200)
def test_every_outcome_leads_to_one_decision_that_carries_the_failure(
    attempt: int, released: int, max_attempts: int, outcome: AttemptOutcome, policy: RetryPolicy, jitter: float
) -> None:
    job, failed = claimed(attempt, min(released, attempt), max_attempts), failure(outcome)
    decision = decide(job, failed, policy, jitter)
    assert decision.failure == failed
    if isinstance(decision, Retry):
        assert 0 <= decision.delay_s <= policy.cap_s
        assert outcome in CHARGED
        assert job.charged < max_attempts


@pytest.mark.parametrize("outcome", CHARGED)
def test_a_charged_attempt_is_retried_until_max_attempts(outcome: AttemptOutcome) -> None:
    failed = failure(outcome)
    assert decide(claimed(1), failed, POLICY, 0.0) == Retry(failed, 1.0)
    assert decide(claimed(2), failed, POLICY, 0.0) == Retry(failed, 2.0)
    assert decide(claimed(3), failed, POLICY, 0.0) == Fail(failed)
    assert decide(claimed(4), failed, POLICY, 0.0) == Fail(failed)


@pytest.mark.parametrize("outcome", CHARGED)
def test_released_attempts_are_not_charged(outcome: AttemptOutcome) -> None:
    failed = failure(outcome)
    assert decide(claimed(10, released=8), failed, POLICY, 0.0) == Retry(failed, 2.0)
    assert decide(claimed(11, released=8), failed, POLICY, 0.0) == Fail(failed)


@pytest.mark.parametrize("attempt", [1, 3, 100])
def test_a_permanent_failure_is_never_retried(attempt: int) -> None:
    failed = failure(AttemptOutcome.PERMANENT)
    assert decide(claimed(attempt, max_attempts=1000), failed, POLICY, 0.5) == Fail(failed)


@pytest.mark.parametrize("attempt", [1, 3, 100])
def test_a_released_job_returns_to_its_queue_even_when_no_attempt_is_left(attempt: int) -> None:
    assert decide(claimed(attempt), RELEASED, POLICY, 0.5) == Release(RELEASED)


def test_a_release_may_have_a_delay_and_is_not_charged_for_it() -> None:
    waits = Failure(AttemptOutcome.RELEASED, "endpoint_busy", "it waits", 30.0)
    assert decide(claimed(3), waits, POLICY, 0.5) == Release(waits, delay_s=30.0)
    for_ever = Failure(AttemptOutcome.RELEASED, "endpoint_busy", "it waits", 1e9)
    assert decide(claimed(3), for_ever, POLICY, 0.5) == Release(for_ever, delay_s=86_400.0)


@given(
    st.integers(1, 20),
    st.lists(
        st.sampled_from([AttemptOutcome.ERROR, AttemptOutcome.TIMEOUT, AttemptOutcome.LOST, AttemptOutcome.RELEASED]),
        max_size=80,
    ),
    jitters,
)
@settings(deadline=None, max_examples=100)
def test_a_job_fails_at_its_last_charged_attempt_whatever_the_outcomes(
    max_attempts: int, outcomes: list[AttemptOutcome], jitter: float
) -> None:
    attempt = released = charged = 0
    for outcome in outcomes:
        attempt += 1
        decision = decide(claimed(attempt, released, max_attempts), failure(outcome), POLICY, jitter)
        if isinstance(decision, Release):
            released += 1
            continue
        charged += 1
        assert isinstance(decision, Fail) == (charged == max_attempts)
        if isinstance(decision, Fail):
            return


def test_an_unknown_outcome_raises_an_assertion_error() -> None:
    unknown = Failure(cast("AttemptOutcome", "evaporated"), "odd", "")
    with pytest.raises(AssertionError, match="evaporated"):
        decide(claimed(1), unknown, POLICY, 0.0)


def test_failures_of_the_system_have_codes_as_error_types() -> None:
    assert (WORKER_LOST.outcome, WORKER_LOST.error_type) == (AttemptOutcome.LOST, "worker_lost")
    assert (RELEASED.outcome, RELEASED.error_type) == (AttemptOutcome.RELEASED, "released")
    assert timed_out(1500) == Failure(
        AttemptOutcome.TIMEOUT, "timeout", "the attempt ran longer than its limit of 1.5 s"
    )


def test_the_stored_names_of_outcomes_are_fixed() -> None:
    assert [outcome.value for outcome in AttemptOutcome] == [
        "error",
        "permanent",
        "timeout",
        "lost",
        "cancelled",
        "released",
    ]

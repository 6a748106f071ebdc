"""Exponential backoff with jitter."""

import math

from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.domain.retry import DEFAULT_RETRY, RetryPolicy

NOT_QUITE_ONE = 0.9999999999999999

policies = st.builds(RetryPolicy, base_s=st.floats(1e-3, 1e9), cap_s=st.floats(1e-3, 1e9))
jitters = st.floats(0, NOT_QUITE_ONE)


@given(policies, st.integers(-5, 1_000_000), jitters)
@example(RetryPolicy(base_s=1e300, cap_s=1e308), 1_000_000, NOT_QUITE_ONE)
@settings(deadline=None, max_examples=300)
def test_a_delay_is_between_a_half_and_the_whole_of_the_capped_exponential(
    policy: RetryPolicy, failures: int, jitter: float
) -> None:
    delay = policy.delay_s(failures, jitter)
    exponent = min(max(failures, 1), 1000) - 1
    full = min(policy.cap_s, policy.base_s * 2.0**exponent) if exponent < 60 else policy.cap_s
    assert math.isfinite(delay)
    assert full / 2 <= delay <= full


@given(policies, st.integers(1, 999_999), jitters)
@settings(deadline=None, max_examples=200)
def test_a_later_attempt_never_waits_less_with_the_same_jitter(
    policy: RetryPolicy, failures: int, jitter: float
) -> None:
    assert policy.delay_s(failures, jitter) <= policy.delay_s(failures + 1, jitter)


@given(policies, st.integers(1, 100), jitters, jitters)
@settings(deadline=None, max_examples=200)
def test_more_jitter_never_means_a_shorter_delay(
    policy: RetryPolicy, failures: int, jitter: float, other_jitter: float
) -> None:
    less, more = sorted((jitter, other_jitter))
    assert policy.delay_s(failures, less) <= policy.delay_s(failures, more)


def test_the_default_backoff_doubles_from_a_second_to_five_minutes() -> None:
    assert [DEFAULT_RETRY.delay_s(failures, 0.0) * 2 for failures in range(1, 12)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        300,
        300,
    ]
    assert DEFAULT_RETRY.max_attempts == 3


def test_the_jitter_spreads_over_the_upper_half() -> None:
    policy = RetryPolicy(base_s=8.0, cap_s=8.0)
    assert [policy.delay_s(1, jitter) for jitter in (0.0, 0.25, 0.5)] == [4.0, 5.0, 6.0]

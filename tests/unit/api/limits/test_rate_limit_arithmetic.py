"""The arithmetic of rate limits: windows, shares of a process, and what was accepted since a count."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.limits.quotas.accepted import STEP_S, Accepted
from api.limits.rates.local_share import LocalShare
from api.limits.rates.shared_windows import WINDOW_S, Window


def after(window: Window, seconds: float) -> Window:
    """Return a window as Redis has it some seconds later, without further events."""
    before_s, present_s = window.before_ends_in_s - seconds, window.present_ends_in_s - seconds
    if before_s > 0 or present_s > WINDOW_S:
        return Window(window.limit, window.before, before_s, window.present, max(0.0, present_s))
    return Window(window.limit, window.present, max(0.0, present_s), 0, present_s + WINDOW_S)


def test_events_of_the_minute_before_count_less_and_less() -> None:
    window = Window(limit=100, before=60, before_ends_in_s=30.0, present=10, present_ends_in_s=90.0)
    assert window.free == 100 - 30 - 10
    assert after(window, 15.0).free == 100 - 15 - 10


@given(
    limit=st.integers(1, 10_000),
    before=st.integers(0, 10_000),
    present=st.integers(0, 10_000),
    left_s=st.floats(0.001, 60),
    amount=st.integers(1, 10_000),
)
@example(limit=3, before=3, present=0, left_s=41.0, amount=2)
def test_the_wait_is_long_enough_and_no_longer(
    limit: int, before: int, present: int, left_s: float, amount: int
) -> None:
    before, present, amount = min(before, limit), min(present, limit), min(amount, limit)
    window = Window(limit, before, left_s if before else 0.0, present, left_s + WINDOW_S if present else 0.0)
    wait_s = window.wait_s(amount)
    if window.free >= amount:
        assert wait_s == pytest.approx(0, abs=1e-6)
        return
    assert after(window, wait_s + 0.01).free >= amount
    assert wait_s < 2 * WINDOW_S
    if wait_s > 0.1:
        assert after(window, wait_s - 0.05).free <= amount


def test_a_process_admits_its_share_at_once_and_then_at_its_rate() -> None:
    share = LocalShare(30, now=0.0)
    assert [share.take(1, 30, 0.0) for _ in range(30)] == [0.0] * 30
    assert share.take(1, 30, 0.0) == pytest.approx(2.0)
    assert share.take(1, 30, 1.9) > 0
    assert share.take(1, 30, 2.1) == 0.0
    assert sum(share.take(1, 30, 100 + second / 10) == 0.0 for second in range(600)) == 30 + 29


def test_an_amount_above_the_share_is_paid_back_before_the_next_one() -> None:
    share = LocalShare(10, now=0.0)
    assert share.take(50, 10, 0.0) == 0.0
    assert share.take(1, 10, 0.0) == pytest.approx(41 * 6.0)
    assert share.take(1, 10, 240.0) > 0
    assert share.take(1, 10, 247.0) == 0.0


def test_what_a_count_has_seen_is_forgotten() -> None:
    accepted = Accepted()
    for number in range(100):
        accepted.add(number * 0.01, 3)
    assert accepted.total == 300
    accepted.forget_before(0.5)
    assert 300 - 150 - 3 * STEP_S / 0.01 <= accepted.total <= 300 - 150 + 3 * STEP_S / 0.01
    accepted.forget_before(5.0)
    assert accepted.total == 0

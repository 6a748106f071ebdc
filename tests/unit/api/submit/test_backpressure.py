"""Retry-After of a late queue."""

import pytest

from api.schemas import QueueView, RatesView
from api.submit.backpressure import MAX_RETRY_AFTER_S, MIN_RETRY_AFTER_S, retry_after_s


def late_queue(age_s: float, queued: int, rate: float) -> QueueView:
    zero = RatesView(last_minute=0, last_5_minutes=0, last_15_minutes=0)
    return QueueView(
        queue="default", queued=queued, running=1, oldest_due_seconds=age_s, workers_alive=1, accepted_per_second=0,
        succeeded_per_second=RatesView(last_minute=rate, last_5_minutes=0, last_15_minutes=0), failed_per_second=zero,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("age_s", "queued", "rate", "expected"),
    [
        (
            90,
            900,
            20,
            30,
        ),  # ten jobs a second were submitted, twenty are processed: the age falls by one second a second
        (90, 900, 40, 10),
        (61, 600, 1_000, MIN_RETRY_AFTER_S),
        (90, 900, 10, MAX_RETRY_AFTER_S),  # processed as fast as they were submitted: the age stays
        (90, 900, 0, MAX_RETRY_AFTER_S),
        (86_400, 10**6, 12, MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_the_time_until_the_queue_is_within_its_limit_again(
    age_s: float, queued: int, rate: float, expected: int
) -> None:
    assert retry_after_s(late_queue(age_s, queued, rate), 60) == expected

"""What a job has waited for."""

from datetime import UTC, datetime, timedelta

from common.domain.timeline import AttemptTimes, WaitTimes, wait_times

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def test_a_job_that_waits_is_queued_from_when_it_was_due() -> None:
    assert wait_times({0: (at(0), at(0))}, [], at(5)) == WaitTimes(queued_s=5)
    assert wait_times({0: (at(0), at(3))}, [], at(5)) == WaitTimes(scheduled_s=3, queued_s=2)
    assert wait_times({0: (at(0), at(9))}, [], at(5)) == WaitTimes(scheduled_s=5)


def test_a_running_one_runs() -> None:
    assert wait_times({0: (at(0), at(0))}, [], at(5), running_since=at(2)) == WaitTimes(queued_s=2, running_s=3)


def test_attempts_pause_and_queue_again() -> None:
    tried = [AttemptTimes(0, at(1), at(3), at(7)), AttemptTimes(0, at(8), at(10), None)]
    assert wait_times({0: (at(0), at(0))}, tried, at(10)) == WaitTimes(queued_s=2, paused_s=4, running_s=4)
    assert wait_times({0: (at(0), at(0))}, tried[:1], at(5)) == WaitTimes(queued_s=1, paused_s=2, running_s=2)


def test_a_later_epoch_begins_anew_and_the_time_between_counts_for_nothing() -> None:
    ran = [AttemptTimes(0, at(1), at(2), None), AttemptTimes(1, at(12), at(14), None)]
    assert wait_times({0: (at(0), at(0)), 1: (at(10), at(10))}, ran, at(14)) == WaitTimes(queued_s=3, running_s=3)
    assert wait_times({0: (at(0), at(0)), 1: (at(10), at(10))}, ran[:1], at(15)) == WaitTimes(queued_s=6, running_s=1)


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert wait_times({0: (at(5), at(5))}, [AttemptTimes(0, at(3), at(2), None)], at(1)) == WaitTimes()

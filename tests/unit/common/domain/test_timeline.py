"""The history of a job: its states in order, and its times by cause."""

from datetime import UTC, datetime, timedelta

from common.domain.states import State
from common.domain.timeline import AttemptTimes, PastAttempt, Run, StateChange, WaitTimes, timeline, wait_times

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def started(seconds: float, attempt: int, run: int = 0) -> StateChange:
    return StateChange(at(seconds), State.IN_PROGRESS, run, attempt, 7)


def failed(started_s: float, ended_s: float, due_s: float, attempt: int) -> PastAttempt:
    ended = StateChange(at(ended_s), State.RETRYING, 0, attempt, 7, "timeout", "too slow")
    return PastAttempt(started(started_s, attempt), ended, at(due_s))


def ended(seconds: float, status: State, attempt: int, run: int = 0) -> StateChange:
    return StateChange(at(seconds), status, run, attempt, 7)


def states(*runs: Run, now: float = 1_000) -> list[tuple[float, str, int | None]]:
    changes = timeline(runs, at(now))
    return [((change.at - START).total_seconds(), str(change.status), change.attempt) for change in changes]


def test_a_job_that_succeeds_at_its_first_attempt_was_pending_and_ran() -> None:
    assert states(Run(0, at(0), None, [], started(1, 1), ended(2, State.SUCCESS, 1))) == [
        (0, "PENDING", None),
        (1, "IN_PROGRESS", 1),
        (2, "SUCCESS", 1),
    ]


def test_an_unfinished_job_has_no_end() -> None:
    assert states(Run(0, at(0), None, [])) == [(0, "PENDING", None)]
    assert states(Run(0, at(0), None, [], started(1, 1))) == [(0, "PENDING", None), (1, "IN_PROGRESS", 1)]


def test_a_job_for_later_is_scheduled_and_becomes_pending_at_its_due_time() -> None:
    later = Run(0, at(0), at(60), [])
    assert states(later, now=59) == [(0, "SCHEDULED", None)]
    assert states(later, now=60) == [(0, "SCHEDULED", None), (60, "PENDING", None)]


def test_a_job_that_is_cancelled_before_its_due_time_was_never_pending() -> None:
    assert states(Run(0, at(0), at(60), [], None, ended(30, State.CANCELLED, 0))) == [
        (0, "SCHEDULED", None),
        (30, "CANCELLED", 0),
    ]


def test_a_job_whose_due_time_precedes_its_submission_is_pending_at_once() -> None:
    assert states(Run(0, at(0), at(-5), [])) == [(0, "PENDING", None)]


def test_a_job_waits_for_its_backoff_after_a_failed_attempt() -> None:
    run = Run(0, at(0), None, [failed(1, 2, 10, 1), failed(11, 12, 40, 2)], started(41, 3), ended(42, State.SUCCESS, 3))
    assert states(run) == [
        (0, "PENDING", None),
        (1, "IN_PROGRESS", 1), (2, "RETRYING", 1), (10, "PENDING", None),
        (11, "IN_PROGRESS", 2), (12, "RETRYING", 2), (40, "PENDING", None),
        (41, "IN_PROGRESS", 3), (42, "SUCCESS", 3),
    ]  # fmt: skip
    assert states(Run(0, at(0), None, [failed(1, 2, 10, 1)]), now=9)[-1] == (2, "RETRYING", 1)


def test_a_released_job_is_pending_again_at_once() -> None:
    assert states(Run(0, at(0), None, [failed(1, 2, 2, 1)])) == [
        (0, "PENDING", None),
        (1, "IN_PROGRESS", 1),
        (2, "PENDING", 1),
    ]


def test_the_error_of_an_attempt_is_part_of_the_state_that_followed() -> None:
    change = timeline([Run(0, at(0), None, [failed(1, 2, 10, 1)])], at(3))[-1]
    assert (change.status, change.error_type, change.error_text, change.worker) == (
        State.RETRYING,
        "timeout",
        "too slow",
        7,
    )


def test_each_run_begins_pending() -> None:
    first = Run(0, at(0), None, [], started(1, 1), ended(2, State.FAILED, 1))
    assert states(first, Run(1, at(50), None, [], started(51, 2, 1))) == [
        (0, "PENDING", None), (1, "IN_PROGRESS", 1), (2, "FAILED", 1), (50, "PENDING", None), (51, "IN_PROGRESS", 2),
    ]  # fmt: skip


def test_a_waiting_job_is_queued_from_its_due_time() -> None:
    assert wait_times({0: (at(0), at(0))}, [], at(5)) == WaitTimes(queued_seconds=5)
    assert wait_times({0: (at(0), at(3))}, [], at(5)) == WaitTimes(scheduled_seconds=3, queued_seconds=2)
    assert wait_times({0: (at(0), at(9))}, [], at(5)) == WaitTimes(scheduled_seconds=5)


def test_a_running_job_has_run_since_its_claim() -> None:
    assert wait_times({0: (at(0), at(0))}, [], at(5), running_since=at(2)) == WaitTimes(
        queued_seconds=2, running_seconds=3
    )


def test_a_job_pauses_and_queues_between_two_attempts() -> None:
    attempts = [AttemptTimes(0, at(1), at(3), at(7)), AttemptTimes(0, at(8), at(10), None)]
    assert wait_times({0: (at(0), at(0))}, attempts, at(10)) == WaitTimes(
        queued_seconds=2, paused_seconds=4, running_seconds=4
    )
    assert wait_times({0: (at(0), at(0))}, attempts[:1], at(5)) == WaitTimes(
        queued_seconds=1, paused_seconds=2, running_seconds=2
    )


def test_the_time_between_two_runs_does_not_count() -> None:
    attempts = [AttemptTimes(0, at(1), at(2), None), AttemptTimes(1, at(12), at(14), None)]
    assert wait_times({0: (at(0), at(0)), 1: (at(10), at(10))}, attempts, at(14)) == WaitTimes(
        queued_seconds=3, running_seconds=3
    )
    assert wait_times({0: (at(0), at(0)), 1: (at(10), at(10))}, attempts[:1], at(15)) == WaitTimes(
        queued_seconds=6, running_seconds=1
    )


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert wait_times({0: (at(5), at(5))}, [AttemptTimes(0, at(3), at(2), None)], at(1)) == WaitTimes()

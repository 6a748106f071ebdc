"""The states that a job has been through, from what is stored of it."""

from datetime import UTC, datetime, timedelta

from common.domain.states import State
from common.domain.timeline import PastAttempt, Run, StateChange, timeline

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def runs(seconds: float, attempt: int, epoch: int = 0) -> StateChange:
    return StateChange(at(seconds), State.IN_PROGRESS, epoch, attempt, 7)


def failed(began: float, ended: float, due: float, attempt: int) -> PastAttempt:
    return PastAttempt(runs(began, attempt), StateChange(at(ended), State.RETRYING, 0, attempt, 7, "timeout", "too slow"), at(due))


def ends(seconds: float, status: State, attempt: int, epoch: int = 0) -> StateChange:
    return StateChange(at(seconds), status, epoch, attempt, 7)


def told(*epochs: Run, now: float = 1_000) -> list[tuple[float, str, int | None]]:
    return [((one.at - START).total_seconds(), str(one.status), one.attempt) for one in timeline(epochs, at(now))]


def test_a_job_that_succeeds_at_once_was_pending_and_ran() -> None:
    assert told(Run(0, at(0), None, [], runs(1, 1), ends(2, State.SUCCESS, 1))) == [(0, "PENDING", None), (1, "IN_PROGRESS", 1), (2, "SUCCESS", 1)]


def test_a_job_that_has_just_come_or_runs_has_no_end() -> None:
    assert told(Run(0, at(0), None, [])) == [(0, "PENDING", None)]
    assert told(Run(0, at(0), None, [], runs(1, 1))) == [(0, "PENDING", None), (1, "IN_PROGRESS", 1)]


def test_one_for_later_is_scheduled_and_pending_from_its_time_on_once_that_has_come() -> None:
    later = Run(0, at(0), at(60), [])
    assert told(later, now=59) == [(0, "SCHEDULED", None)]
    assert told(later, now=60) == [(0, "SCHEDULED", None), (60, "PENDING", None)]


def test_one_that_is_cancelled_before_its_time_was_never_pending() -> None:
    assert told(Run(0, at(0), at(60), [], None, ends(30, State.CANCELLED, 0))) == [(0, "SCHEDULED", None), (30, "CANCELLED", 0)]


def test_a_time_that_has_passed_as_it_comes_is_none() -> None:
    assert told(Run(0, at(0), at(-5), [])) == [(0, "PENDING", None)]


def test_after_a_failed_attempt_it_waits_out_its_backoff() -> None:
    epoch = Run(0, at(0), None, [failed(1, 2, 10, 1), failed(11, 12, 40, 2)], runs(41, 3), ends(42, State.SUCCESS, 3))
    assert told(epoch) == [
        (0, "PENDING", None),
        (1, "IN_PROGRESS", 1), (2, "RETRYING", 1), (10, "PENDING", None),
        (11, "IN_PROGRESS", 2), (12, "RETRYING", 2), (40, "PENDING", None),
        (41, "IN_PROGRESS", 3), (42, "SUCCESS", 3),
    ]  # fmt: skip
    assert told(Run(0, at(0), None, [failed(1, 2, 10, 1)]), now=9)[-1] == (2, "RETRYING", 1)


def test_one_that_is_given_back_is_pending_again_at_once() -> None:
    assert told(Run(0, at(0), None, [failed(1, 2, 2, 1)])) == [(0, "PENDING", None), (1, "IN_PROGRESS", 1), (2, "PENDING", 1)]


def test_what_went_wrong_is_told_with_the_state_that_followed() -> None:
    waits = timeline([Run(0, at(0), None, [failed(1, 2, 10, 1)])], at(3))[-1]
    assert (waits.status, waits.error_type, waits.error_text, waits.worker) == (State.RETRYING, "timeout", "too slow", 7)


def test_each_epoch_begins_pending() -> None:
    first = Run(0, at(0), None, [], runs(1, 1), ends(2, State.FAILED, 1))
    assert told(first, Run(1, at(50), None, [], runs(51, 2, 1))) == [
        (0, "PENDING", None), (1, "IN_PROGRESS", 1), (2, "FAILED", 1), (50, "PENDING", None), (51, "IN_PROGRESS", 2),
    ]  # fmt: skip

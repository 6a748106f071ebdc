"""`jobproc.testing`: one attempt of an operation in the process of a test."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from common.domain.decisions import MAX_RETRY_AFTER_S
from common.domain.retry import RetryPolicy
from common.settings import Settings
from jobproc import (
    Attempt,
    Context,
    DeclarationError,
    PermanentFailure,
    RetryAfter,
    SubmissionError,
    around_attempt,
    hooks,
    operation,
)
from jobproc.testing import (
    Failed,
    LogLine,
    NoResultError,
    Progress,
    Retries,
    Succeeded,
    recording,
    run,
    running,
)
from worker.execution import job_context

F = TypeVar("F", bound=Callable[..., Any])


def quick(name: str) -> Callable[[F], F]:
    """Declare an operation."""
    return operation(name=name, base_seconds=2.0, cap_seconds=60.0, permanent=(ZeroDivisionError,))


class Booking(BaseModel):
    """An input and a result."""

    model_config = ConfigDict(extra="forbid")

    day: date
    nights: int = 1


@quick("test.book")
def book(booking: Booking, job: Context) -> Booking:
    """Book a night more."""
    job.logger.info("booking on %s", booking.day)
    job.progress(0.5, "half")
    return booking.model_copy(update={"nights": booking.nights + 1})


@quick("test.raise")
def raises(kind: str) -> None:
    """Raise an exception of a kind."""
    raise {
        "value": ValueError("broken"),
        "permanent": PermanentFailure("for good"),
        "listed": ZeroDivisionError(),
        "later": RetryAfter(7, "come back"),
        "much later": RetryAfter(1e9),
        "exit": SystemExit(3),
    }[kind]


@quick("test.raise_async")
async def raises_async(kind: str) -> None:
    """Raise an exception of a kind."""
    await asyncio.sleep(0)
    raises(kind)


def test_input_and_result_go_through_json_and_come_back_by_their_types() -> None:
    for given_input in (Booking(day=date(2026, 1, 2)), {"day": "2026-01-02"}, {"day": date(2026, 1, 2)}):
        outcome = run(book, given_input)
        assert isinstance(outcome, Succeeded)
        assert outcome.result == Booking(day=date(2026, 1, 2), nights=2)
        assert outcome.json == '{"day":"2026-01-02","nights":2}'
        assert outcome.progress == (Progress(0.5, "half"),)
        assert outcome.logs == (LogLine("INFO", "jobproc.operation.test.book", "booking on 2026-01-02"),)
    assert run("test.book", {"day": "2026-01-02"}).result == outcome.result


def test_an_input_that_does_not_validate_fails_for_good() -> None:
    outcome = run(book, {"day": "no day"})
    assert isinstance(outcome, Failed)
    assert (outcome.permanent, outcome.error_type) == (True, "invalid_input")
    assert "day" in outcome.error_text


@pytest.mark.parametrize("value", [object(), math.inf])
def test_an_input_that_json_cannot_hold_is_an_error_of_the_test(value: object) -> None:
    with pytest.raises(SubmissionError, match=r"the input of 'test.book' cannot be submitted as JSON"):
        run(book, {"day": value})


@pytest.mark.parametrize("raising", [raises, raises_async])
def test_an_exception_is_retried_or_fails_the_job(raising: Callable[..., Any]) -> None:
    match run(raising, {"kind": "value"}, jitter=0.5):
        case Retries(after, error_type="ValueError", error_text="broken", error=ValueError()):
            assert after == 1.5  # between a half and the whole of 2 s
        case other:
            pytest.fail(str(other))
    match run(raising, {"kind": "value"}, attempt=3):
        case Failed(permanent=False, error_type="ValueError"):
            pass
        case other:
            pytest.fail(str(other))
    assert isinstance(run(raising, {"kind": "value"}, attempt=3, max_attempts=4), Retries)
    for kind, error_type, text in [
        ("permanent", "PermanentFailure", "for good"),
        ("listed", "ZeroDivisionError", "ZeroDivisionError"),
    ]:
        outcome = run(raising, {"kind": kind})
        assert isinstance(outcome, Failed)
        assert (outcome.permanent, outcome.error_type, outcome.error_text) == (True, error_type, text)
    for kind, after in [("later", 7.0), ("much later", MAX_RETRY_AFTER_S)]:
        outcome = run(raising, {"kind": kind})
        assert isinstance(outcome, Retries)
        assert outcome.after_seconds == after
    assert isinstance(run(raising, {"kind": "exit"}), Retries)


def test_the_traceback_begins_with_the_operation() -> None:
    outcome = run(raises, {"kind": "value"})
    assert isinstance(outcome, Retries)
    assert outcome.traceback is not None
    first_frame = outcome.traceback.splitlines()[1]
    assert first_frame.endswith(", in raises")
    assert outcome.traceback.endswith("ValueError: broken\n")


def test_the_result_of_a_failed_attempt_raises_from_its_exception() -> None:
    with pytest.raises(NoResultError, match="Retries: ValueError: broken") as caught:
        _ = run(raises, {"kind": "value"}).result
    assert isinstance(caught.value.__cause__, ValueError)


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 1000), st.floats(0, 1, exclude_max=True, allow_subnormal=False)
)
def test_the_delay_of_a_retry_is_that_of_a_worker(base_s: float, cap_s: float, failures: int, jitter: float) -> None:
    expected = RetryPolicy(1000, base_s, cap_s).delay_s(failures, jitter)
    assert running.retry_delay_s(base_s, cap_s, failures, jitter) == expected


def test_limits_are_those_of_a_worker() -> None:
    settings = Settings(database_url="postgresql://x/y", redis_url="redis://x")
    assert settings.max_result_bytes == running.MAX_RESULT_BYTES
    assert running.MAX_RETRY_AFTER_S == MAX_RETRY_AFTER_S
    assert recording.MAX_TEXT_CHARACTERS == job_context.MAX_TEXT_CHARACTERS


def test_a_deadline_that_has_passed_fails_the_job_without_an_attempt() -> None:
    outcome = run(book, {"day": "2026-01-02"}, deadline=datetime.now(UTC) - timedelta(seconds=1))
    assert isinstance(outcome, Failed)
    assert (outcome.permanent, outcome.error_type, outcome.logs) == (True, "deadline_exceeded", ())


def test_what_is_no_operation_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"quick_function\(\) is no operation"):
        run(quick_function)
    with pytest.raises(DeclarationError, match="no operation 'missing' is declared"):
        run("missing")


def quick_function() -> None:
    """Do nothing."""


@quick("test.misses")
def misses(kind: str) -> None:
    """Raise what is meant for the test."""
    if kind == "interrupt":
        raise KeyboardInterrupt
    pytest.fail("a mock says no")


@pytest.mark.parametrize(("kind", "error"), [("interrupt", KeyboardInterrupt), ("fail", pytest.fail.Exception)])
def test_what_is_meant_for_the_test_passes(kind: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        run(misses, {"kind": kind})


@quick("test.large")
def large(size: int) -> str:
    """Return a large text."""
    return "x" * size


def test_a_result_that_is_too_large_fails_for_good() -> None:
    assert run(large, {"size": 98}, max_result_bytes=100).result == "x" * 98
    outcome = run(large, {"size": 99}, max_result_bytes=100)
    assert isinstance(outcome, Failed)
    assert outcome.error_text == "the result has 101 bytes, more than 100"


@pytest.mark.parametrize("raising", [raises, raises_async])
def test_hooks_surround_the_attempt(monkeypatch: pytest.MonkeyPatch, raising: Callable[..., Any]) -> None:
    monkeypatch.setattr(hooks, "around_attempts", [])
    seen: list[object] = []

    @around_attempt
    def hook(attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            seen.append((attempt.operation.name, error))
            raise PermanentFailure("translated") from error

    outcome = run(raising, {"kind": "value"})
    assert isinstance(outcome, Failed)
    assert outcome.error_text == "translated"
    assert len(seen) == 1


def test_the_level_of_the_root_logger_is_as_before() -> None:
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    run(book, {"day": "2026-01-02"})
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)

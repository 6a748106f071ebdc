"""One attempt of a job: every kind of return value and exception."""

import json
import math
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel
from unit.worker.execution.support.fake_context import FakeContext

from common import failpoints
from common.domain.decisions import STOPPED, AttemptOutcome, Failure
from common.domain.job import ClaimedJob
from common.settings import Settings
from jobproc import Cancelled, Context, PermanentFailure, operation
from jobproc.operations import operations_of
from worker.execution.attempt import printable, run_attempt
from worker.operations.installed import InstalledOperation, installed


class AnyInput(BaseModel):
    """Input of the operations here."""

    data: list[float] = []


def declared_as(function: Callable[..., Any]) -> InstalledOperation:
    """Return the operation of a function, as a worker holds it."""
    return installed(operations_of([function])[-1])


def run(
    body: Callable[[], Any],
    text: str | None = "{}",
    permanent: tuple[type[BaseException], ...] = (),
    cancelled: bool = False,
    **variables: str,
) -> str | Failure:
    @operation(name="deed", permanent=permanent)
    def function(numbers: AnyInput) -> Any:
        return body()

    declared = declared_as(function)
    job, settings = ClaimedJob("some-id", 1, 0, 3, "deed", text, None), Settings.model_validate(variables)
    return run_attempt(job, declared, FakeContext(cancelled=cancelled), settings)


def test_a_cancelled_operation_may_let_cancelled_propagate() -> None:
    assert run(raising(Cancelled()), cancelled=True) == STOPPED


def test_an_operation_that_raises_cancelled_without_a_cancel_fails_as_with_any_exception() -> None:
    assert run(raising(Cancelled())) == Failure(AttemptOutcome.ERROR, "Cancelled", "The job was asked to stop.")


def test_a_cancelled_operation_may_still_return_or_fail() -> None:
    """The settle knows that the job was cancelled."""
    assert run(lambda: 1, cancelled=True) == "1"
    assert run(raising(PermanentFailure("no")), cancelled=True) == Failure(
        AttemptOutcome.PERMANENT, "PermanentFailure", "no"
    )


def raising(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        raise error

    return body


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (14.0, "14.0"),
        (-0.0, "-0.0"),
        (1e308, "1e+308"),
        (5e-324, "5e-324"),
        (0, "0"),
        (True, "true"),
        (None, "null"),
        ("", '""'),
        ("é\x00\n", '"é\\u0000\\n"'),
        ([1, [2.5, None]], "[1,[2.5,null]]"),
        ({"a": (1, 2), "b": {}}, '{"a":[1,2],"b":{}}'),
        (10**400, str(10**400)),
        (b"\xff\xff", '"__8="'),
        ({1}, "[1]"),
        ({"on": date(2026, 1, 2), "of": AnyInput(data=[1.5])}, '{"on":"2026-01-02","of":{"data":[1.5]}}'),
        ([UUID(int=1), Decimal("1.50")], '["00000000-0000-0000-0000-000000000001","1.50"]'),
    ],
)
def test_a_value_that_json_can_represent_is_the_result(bare: pytest.MonkeyPatch, value: object, text: str) -> None:
    assert run(lambda: value) == text


def circular() -> list[object]:
    nested: list[object] = []
    nested.append(nested)
    return nested


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    "make",
    [
        lambda: math.nan,
        lambda: -math.inf,
        lambda: [math.inf],
        object,
        lambda: "\ud800",
        lambda: {(1,): 2},
    ],
)
def test_a_value_that_json_cannot_represent_fails_permanently(
    bare: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    failure = run(make)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == (AttemptOutcome.PERMANENT, "ResultNotJsonError")
    assert failure.error_text.startswith("the operation returned what JSON cannot hold: ")


@pytest.mark.parametrize("make", [circular, deep, lambda: 10**10_000])
def test_a_circular_too_deep_or_too_long_result_fails_permanently(
    bare: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    failure = run(make)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == (AttemptOutcome.PERMANENT, "ResultNotJsonError")


@pytest.mark.parametrize(
    ("value", "fits"),
    [("x" * 98, True), ("x" * 99, False), ("é" * 49, True), ("é" * 50, False), ("😀" * 25, False)],
    ids=["ascii fits", "ascii", "two bytes fit", "two bytes", "four bytes"],
)
def test_a_result_of_more_bytes_than_the_limit_fails_permanently(
    bare: pytest.MonkeyPatch, value: str, fits: bool
) -> None:
    """The limit counts bytes of the JSON text, quotes included, not characters."""
    outcome = run(lambda: value, max_result_bytes="100")
    if fits:
        assert outcome == json.dumps(value, ensure_ascii=False)
    else:
        assert isinstance(outcome, Failure)
        size = len(value.encode()) + 2
        assert outcome == Failure(
            AttemptOutcome.PERMANENT, "result_too_large", f"the result has {size} bytes, more than 100"
        )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyboardInterrupt("bad"),
        SystemExit("bad"),
        GeneratorExit("bad"),
        MemoryError("bad"),
        RecursionError("bad"),
        StopIteration("bad"),
    ],
)
def test_any_exception_is_the_error_of_the_attempt_and_may_be_retried(
    bare: pytest.MonkeyPatch, error: BaseException
) -> None:
    assert run(raising(error)) == Failure(AttemptOutcome.ERROR, type(error).__name__, "bad")


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (PermanentFailure("bad"), ()),
        (ZeroDivisionError("bad"), (ZeroDivisionError,)),
        (ZeroDivisionError("bad"), (KeyError, ArithmeticError)),
        (SystemExit("bad"), (SystemExit,)),
    ],
)
def test_an_exception_declared_permanent_fails_permanently(
    bare: pytest.MonkeyPatch, error: BaseException, permanent: tuple[type[BaseException], ...]
) -> None:
    assert run(raising(error), permanent=permanent) == Failure(AttemptOutcome.PERMANENT, type(error).__name__, "bad")


def test_an_exception_without_a_text_is_stored_with_its_name(bare: pytest.MonkeyPatch) -> None:
    assert run(raising(ValueError())) == Failure(AttemptOutcome.ERROR, "ValueError", "ValueError")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class FatalError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("error", [UnprintableError(), FatalError()])
def test_an_exception_whose_str_raises_is_stored_with_its_name(bare: pytest.MonkeyPatch, error: Exception) -> None:
    name = type(error).__name__
    assert run(raising(error)) == Failure(AttemptOutcome.ERROR, name, name)


def test_the_text_of_an_exception_is_cut_and_cleaned(bare: pytest.MonkeyPatch) -> None:
    failure = run(raising(ValueError("\x00\ud800" + "é" * 1000)), max_error_characters="20")
    assert failure == Failure(AttemptOutcome.ERROR, "ValueError", "\ufffd?" + "é" * 17 + "…")


@pytest.mark.parametrize("text", ["[]", '{"data":["x"]}', '{"data":null}', "", "{", '{"data":[1]} x'])
def test_an_input_that_does_not_validate_fails_permanently(bare: pytest.MonkeyPatch, text: str) -> None:
    failure = run(lambda: 1, text)
    assert isinstance(failure, Failure) == bool(text)
    if isinstance(failure, Failure):
        assert (failure.outcome, failure.error_type) == (AttemptOutcome.PERMANENT, "invalid_input")
        assert 0 < len(failure.error_text) <= 4_000


def test_a_validation_error_inside_the_operation_may_be_retried(bare: pytest.MonkeyPatch) -> None:
    """The input of the job may be valid: a service that the operation called may have sent an invalid answer."""
    failure = run(lambda: AnyInput.model_validate_json("nonsense"))
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.error_type) == (AttemptOutcome.ERROR, "ValidationError")


def test_a_job_without_an_input_runs_with_an_empty_object(bare: pytest.MonkeyPatch) -> None:
    assert run(lambda: 1, None) == "1"


def test_an_operation_that_this_worker_lacks_is_an_error_that_may_be_retried(bare: pytest.MonkeyPatch) -> None:
    job = ClaimedJob("some-id", 1, 0, 3, "unheard", "{}", None)
    assert run_attempt(job, None, FakeContext(), Settings()) == Failure(
        AttemptOutcome.ERROR, "unknown_operation", "this worker has no operation 'unheard'"
    )


def test_an_operation_with_a_second_argument_gets_the_context(bare: pytest.MonkeyPatch) -> None:
    @operation(name="who")
    def function(numbers: AnyInput, job: Context) -> list[object]:
        return [job.job_id, job.attempt, job.progress(0.5)]

    job = ClaimedJob("some-id", 2, 0, 3, "who", "{}", None)
    assert run_attempt(job, declared_as(function), FakeContext(attempt=2), Settings()) == '["some-id",2,true]'


@pytest.mark.parametrize("failpoint", ["attempt.before_operation", "attempt.after_operation"])
def test_a_failpoint_beside_the_effect_is_an_error_of_the_attempt(bare: pytest.MonkeyPatch, failpoint: str) -> None:
    ran: list[int] = []
    settings = Settings()
    failpoints.arm(f"{failpoint}=raise")

    @operation(name="deed")
    def function(numbers: AnyInput) -> None:
        ran.append(1)

    job = ClaimedJob("some-id", 1, 0, 3, "deed", "{}", None)
    assert run_attempt(job, declared_as(function), FakeContext(), settings) == Failure(
        AttemptOutcome.ERROR, "RuntimeError", f"failpoint {failpoint}"
    )
    assert len(ran) == (failpoint == "attempt.after_operation")


@given(st.text(st.characters(codec=None), max_size=50), st.integers(1, 40))
@hypothesis_settings(deadline=None, max_examples=200)
def test_printable_text_can_be_stored_and_is_no_longer_than_the_limit(text: str, max_characters: int) -> None:
    shown = printable(text, max_characters)
    shown.encode()
    assert "\x00" not in shown
    assert len(shown) <= max_characters
    clean = printable(text, 1_000)
    assert shown == clean or shown == clean[: max_characters - 1] + "…"


@pytest.mark.parametrize(
    ("text", "shown"), [("", ""), ("plain é 😀\n", "plain é 😀\n"), ("a\x00b", "a\ufffdb"), ("\ud83d", "?")]
)
def test_printable_text_keeps_all_characters_that_can_be_stored(text: str, shown: str) -> None:
    assert printable(text, 100) == shown

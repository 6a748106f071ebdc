"""The registry: the options of operations, and their inputs and contexts."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import BaseModel, ValidationError

from common.domain.errors import StartupError
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from worker.operations import Context, Operation, operation
from worker.operations.registry import InvalidInputError, operations_of

NO_CONTEXT = cast("Context", None)  # for operations that do not use it


class Picture(BaseModel):
    """Input of a third party's operation."""

    url: str
    width: int = 100


def registered(function: Any) -> Operation:
    return operations_of([function])[-1]


def test_a_decorated_function_becomes_an_operation_with_the_defaults() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> int:
        """Make it small.

        More about it.
        """
        return picture.width

    spec = registered(thumbnail).spec
    assert spec == OperationSpec(
        "thumbnail", "default", RetryPolicy(3, 1.0, 300.0), 300.0, "Make it small.", Picture.model_json_schema()
    )
    assert registered(thumbnail).permanent == ()
    assert thumbnail(Picture(url="u", width=3)) == 3, "it stays an ordinary function"


def test_all_options_are_stored_in_the_spec() -> None:
    @operation(
        "a.b_c9",
        queue="slow",
        max_attempts=1000,
        base_seconds=0.5,
        cap_seconds=10,
        timeout_seconds=None,
        permanent=(KeyError, ValueError),
    )
    def function(picture: Picture) -> None:
        pass

    assert registered(function).spec == OperationSpec(
        "a.b_c9", "slow", RetryPolicy(1000, 0.5, 10), None, "", Picture.model_json_schema()
    )
    assert registered(function).spec.timeout_ms is None
    assert registered(function).permanent == (KeyError, ValueError)


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "a/b", "ä", "a\n", "a" * 65])
def test_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(StartupError, match=r"the name must be 1 to 64 of a-z 0-9 _ \."):
        operation(name)(function_for(Picture))


@pytest.mark.parametrize("name", ["a", "a.b", "0_9", "a" * 64])
def test_valid_names_are_accepted(name: str) -> None:
    assert registered(operation(name)(function_for(Picture))).spec.name == name


def function_for(model: type[BaseModel]) -> Callable[..., Any]:
    def function(model_input):  # type: ignore[no-untyped-def]  # annotated in the next line
        return model_input

    function.__annotations__["model_input"] = model
    return function


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 1001},
        {"queue": "Bad Queue"},
        {"queue": ""},
        {"timeout_seconds": 0},
        {"timeout_seconds": -1.0},
        {"timeout_seconds": 0.0001},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": float("nan")},
        {"base_seconds": -1.0},
        {"base_seconds": float("nan")},
        {"cap_seconds": -1.0},
        {"cap_seconds": float("inf")},
        {"permanent": KeyError},
    ],
    ids=str,
)
def test_an_invalid_option_is_rejected_at_the_start(options: dict[str, Any]) -> None:
    """It would else fail at the first job: a queue that no worker may serve, a timeout that rounds to 0 ms."""
    with pytest.raises(StartupError, match="operation 'odd'"):
        operation("odd", **options)(function_for(Picture))


def no_argument() -> int:
    return 1


def three_arguments(picture: Picture, job: Context, extra: int) -> int:
    return 1


def not_annotated(numbers):  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1


def only_its_return_annotated(numbers) -> float:  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1.0


def only_the_context_annotated(numbers, job: Context):  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1


@pytest.mark.parametrize(
    "function", [no_argument, three_arguments, not_annotated, only_its_return_annotated, only_the_context_annotated]
)
def test_a_function_without_an_annotated_model_as_first_argument_is_rejected(function: Callable[..., Any]) -> None:
    with pytest.raises(StartupError, match=r"operation 'odd': .*(positional parameters|has no annotation)"):
        operation("odd")(function)


def test_the_input_is_parsed_by_the_model_of_the_first_argument() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> str:
        return f"{picture.url} {picture.width}"

    assert registered(thumbnail).run('{"url":"u"}', NO_CONTEXT) == "u 100"
    with pytest.raises(ValidationError):
        registered(thumbnail).parse('{"width":1}')


def test_an_async_function_is_registered_as_any_other_and_a_run_returns_its_coroutine() -> None:
    @operation("async_width", timeout_seconds=3)
    async def async_width(picture: Picture, job: Context) -> int:
        """Width of a picture."""
        return picture.width

    width = registered(async_width)
    assert (
        width.spec.name,
        width.spec.timeout_s,
        width.spec.description,
        width.wants_context,
        width.is_async,
    ) == (
        "async_width",
        3,
        "Width of a picture.",
        True,
        True,
    )
    assert asyncio.run(width.run('{"url":"u","width":4}', NO_CONTEXT)) == 4
    with pytest.raises(InvalidInputError):
        width.run('{"width":4}', NO_CONTEXT)


def test_a_context_is_passed_to_functions_with_a_second_argument() -> None:
    @operation("with_context")
    def with_context(picture: Picture, job: Context) -> object:
        return job

    @operation("without_context")
    def without_context(picture: Picture) -> str:
        return picture.url

    sentinel = cast("Context", object())
    assert (registered(with_context).wants_context, registered(without_context).wants_context) == (True, False)
    assert registered(with_context).run('{"url":"u"}', sentinel) is sentinel
    assert registered(without_context).run('{"url":"u"}', sentinel) == "u"

"""Functions that become operations: their parameters and decorators, and those that are refused."""

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any, Protocol

import pytest
from unit.worker.operations.support.declarations import (
    NO_CONTEXT,
    Circle,
    Square,
    declared,
    limited_model,
    refusal,
    small,
)

from common.domain.errors import StartupError
from worker.operations import Context, operation
from worker.operations.registry import operations_of


def module_of(code: str) -> ModuleType:
    """Run code as a module that is not installed."""
    module = ModuleType("module_under_test")
    exec(compile(code, "module_under_test.py", "exec", dont_inherit=True), vars(module))  # noqa: S102 - written here
    return module


LATE = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel
from worker.operations import operation
if TYPE_CHECKING:
    from decimal import Decimal
    from worker.operations import Context
class Circle(BaseModel):
    radius: {field}
@operation("late")
def late({parameters}) -> Decimal:
    return circle.radius
"""


@pytest.mark.parametrize(
    "parameters",
    ["circle: Circle", "circle: Circle, job: Context", "circle: 'Circle'"],
    ids=["input", "both", "quoted"],
)
def test_annotations_that_only_type_checkers_need_may_be_missing_at_run_time(parameters: str) -> None:
    module = module_of(LATE.format(field="float", parameters=parameters))
    late = operations_of([module.late])[-1]
    assert late.run('{"radius":2}', NO_CONTEXT) == 2
    assert late.wants_context == ("job" in parameters)


@pytest.mark.parametrize(
    ("field", "parameters", "missing"),
    [("float", "number: Decimal", "number"), ("Decimal", "circle: Circle", "circle"), ("float", "n: 1 +", "n")],
    ids=["input", "field of the input", "syntax"],
)
def test_an_input_that_cannot_be_resolved_is_refused_with_the_function_and_the_parameter(
    field: str, parameters: str, missing: str
) -> None:
    code = LATE.format(field=field, parameters=parameters.replace("1 +", "'1 +'"))
    with pytest.raises(StartupError) as caught:
        module_of(code)
    assert f"parameter '{missing}' of late()" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": True},
        {"max_attempts": 3.0},
        {"max_attempts": "3"},
        {"version": True},
        {"version": 1.0},
        {"version": 2, "oldest_version": 1.0},
        {"base_seconds": "1"},
        {"base_seconds": True},
        {"timeout_seconds": "1"},
        {"queue": None},
        {"queue": b"default"},
    ],
    ids=str,
)
def test_an_option_of_another_type_is_refused(options: dict[str, Any]) -> None:
    """PostgreSQL would refuse the whole catalogue: a whole number of the wrong type is no integer in JSON."""
    assert f"{list(options)[-1]}=" in refusal(limited_model, **options)


def test_a_decorator_without_a_name_is_refused() -> None:
    with pytest.raises(StartupError, match=r"@operation\(\"…\"\).*limited_model\(\)"):
        operation(limited_model)  # type: ignore[arg-type]  # the mistake that is tested


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return 2 * function(*arguments)

    return wrapper


def careless(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any) -> Any:
        return 2 * function(*arguments)

    return wrapper


def without_context(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(shape: Circle) -> Any:
        return function(shape, None)

    return wrapper


def as_async(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def wrapper(*arguments: Any) -> Any:
        return 2 * await function(*arguments)

    return wrapper


def with_job(shape: Circle, job: Context) -> float:
    """Radius of a circle."""
    return shape.radius


async def waiting(shape: Circle) -> float:
    return shape.radius


def test_decorators_below_are_applied() -> None:
    deed = declared(doubled(doubled(with_job)))
    assert deed.run('{"radius":1}', NO_CONTEXT) == 4
    assert (deed.wants_context, deed.is_async, deed.spec.description) == (True, False, "Radius of a circle.")
    assert deed.spec.input_schema == Circle.model_json_schema()


def test_a_cached_function_is_an_operation() -> None:
    deed = declared(functools.lru_cache(small))
    assert [deed.run("1", NO_CONTEXT), deed.run("1", NO_CONTEXT)] == [1, 1]
    assert deed.function.cache_info().hits == 1  # type: ignore[attr-defined]  # of lru_cache


def test_an_async_decorator_of_an_async_function_is_async() -> None:
    deed = declared(as_async(waiting))
    assert deed.is_async
    assert asyncio.run(deed.run('{"radius":1}', NO_CONTEXT)) == 2


class Called:
    """An object that is called like a function."""

    def __call__(self, shape: Circle) -> float:
        return shape.radius


class Awaited:
    """An object that is called like an `async def` function."""

    async def __call__(self, shape: Circle) -> float:
        return shape.radius


def test_objects_that_can_be_called_are_operations() -> None:
    assert declared(Called()).run('{"radius":1}', NO_CONTEXT) == 1
    awaited = declared(Awaited())
    assert awaited.is_async
    assert asyncio.run(awaited.run('{"radius":1}', NO_CONTEXT)) == 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (careless(with_job), r"functools\.wraps"),
        (without_context(with_job), r"with_job\(\) cannot be called with the input and the Context"),
        (doubled(waiting), r"waiting\(\).*async def"),
    ],
    ids=["without wraps", "of other parameters", "that hides async def"],
)
def test_a_decorator_below_that_misleads_is_refused(function: Callable[..., Any], reason: str) -> None:
    assert re.search(reason, refusal(function))


def keyword_only(shape: Circle, *, job: Context) -> None: ...


def keyword_only_with_default(shape: Circle, *, job: Context | None = None) -> None: ...


def generator(shape: Circle) -> Iterator[int]:
    yield 1


async def async_generator(shape: Circle) -> AsyncIterator[int]:
    yield 1


def second_is_no_context(shape: Circle, times: int = 2) -> None: ...


def second_is_a_model(shape: Circle, other: Square | None = None) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (keyword_only, "'job'"),
        (keyword_only_with_default, "'job'"),
        (generator, "generator"),
        (async_generator, "generator"),
        (second_is_no_context, "'times'.*Context"),
        (second_is_a_model, "'other'.*Context"),
        (print, r"print\(\)"),
        (len, r"len\(\)"),
    ],
)
def test_a_function_whose_attempts_would_all_fail_is_refused(function: Callable[..., Any], reason: str) -> None:
    assert re.search(reason, refusal(function))


class Stoppable(Protocol):
    """The part of a Context that an operation uses."""

    cancelled: bool


def of_a_protocol(shape: Circle, job: Stoppable) -> None: ...


def of_an_optional_context(shape: Circle, job: Context | None = None) -> None: ...


def of_any(shape: Circle, job: Any) -> None: ...


def not_annotated(shape: Circle, job) -> None: ...  # type: ignore[no-untyped-def]  # it need not be


def with_a_clock(shape: Circle, job: Context, *, clock: Callable[[], float] = lambda: 0.0) -> None: ...


@pytest.mark.parametrize("function", [of_a_protocol, of_an_optional_context, of_any, not_annotated, with_a_clock])
def test_a_second_parameter_that_takes_a_context_gets_it(function: Callable[..., Any]) -> None:
    assert declared(function).wants_context

"""Functions with decorators below `@operation`, and objects that are called like functions."""

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from unit.sdk.support.declarations import NO_CONTEXT, Circle, declared, refusal, small

from jobproc import Context


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
    assert (deed.is_async, deed.description) == (False, "Radius of a circle.")
    assert deed.input_schema == Circle.model_json_schema()


def test_a_cached_function_is_an_operation() -> None:
    deed = declared(functools.lru_cache(small))
    assert [deed.run('{"number":1}', NO_CONTEXT), deed.run('{"number":1}', NO_CONTEXT)] == [1, 1]
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
        (without_context(with_job), r"the decorator of with_job\(\) cannot be called with shape, job: "),
        (doubled(waiting), r"waiting\(\).*async def"),
    ],
    ids=["without wraps", "of other parameters", "that hides async def"],
)
def test_a_decorator_below_that_misleads_is_refused(function: Callable[..., Any], reason: str) -> None:
    assert re.search(reason, refusal(function))

"""Functions that become operations: their parameters and decorators, and those that are refused."""

import math
import re
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Annotated, Any, Protocol, cast

import pytest
from unit.sdk.support.declarations import (
    NO_CONTEXT,
    Circle,
    declared,
    limited_model,
    refusal,
)

from jobproc import Context, DeclarationError
from jobproc.operations import operations_of


def module_of(code: str) -> ModuleType:
    """Run code as a module that is not installed."""
    module = ModuleType("module_under_test")
    exec(compile(code, "module_under_test.py", "exec", dont_inherit=True), vars(module))  # noqa: S102 - written here
    return module


LATE = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel
from jobproc import operation
if TYPE_CHECKING:
    from decimal import Decimal
    from jobproc import Context
class Circle(BaseModel):
    radius: {field}
@operation(name="late")
def late({parameters}) -> {result}:
    return circle.radius
"""


def test_annotations_may_be_texts_if_their_names_are_there_at_run_time() -> None:
    module = module_of(LATE.format(field="float", parameters="circle: 'Circle'", result="float"))
    assert operations_of([module.late])[-1].run('{"radius":2}', NO_CONTEXT) == 2


@pytest.mark.parametrize(
    ("field", "parameters", "result", "missing"),
    [
        ("float", "number: Decimal", "float", "parameter 'number' of late()"),
        ("float", "circle: Circle, job: Context", "float", "parameter 'job' of late()"),
        ("float", "circle: Circle", "Decimal", "the result of late()"),
        ("Decimal", "circle: Circle", "float", "parameter 'circle' of late()"),
        ("float", "n: '1 +'", "float", "parameter 'n' of late()"),
    ],
    ids=["input", "context", "result", "field of the input", "syntax"],
)
def test_a_name_that_only_type_checkers_import_is_refused_with_the_function_and_its_place(
    field: str, parameters: str, result: str, missing: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        module_of(LATE.format(field=field, parameters=parameters, result=result))
    assert missing in str(caught.value)
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
        {"queue": 1},
        {"queues": ["a"]},
        {"queues": "a"},
        {"queue": b"default"},
    ],
    ids=str,
)
def test_an_option_of_another_type_is_refused(options: dict[str, Any]) -> None:
    """PostgreSQL would refuse the whole catalogue: a whole number of the wrong type is no integer in JSON."""
    assert f"{list(options)[-1]}=" in refusal(limited_model, **options)


def generator(shape: Circle) -> Iterator[int]:
    yield 1


async def async_generator(shape: Circle) -> AsyncIterator[int]:
    yield 1


def two_contexts(job: Context, other: Context) -> None: ...


def not_annotated(shape: Circle, job) -> None: ...  # type: ignore[no-untyped-def]  # that is what is refused


def any_arguments(*shapes: Circle) -> None: ...


def any_names(**shapes: Circle) -> None: ...


def by_position(width: int, /, height: int) -> None: ...


def with_a_clock(shape: Circle, *, clock: Callable[[], float] = lambda: 0.0) -> None: ...


def endless(limit: float = math.inf) -> None: ...


def of_another_type(limit: int = "none") -> None: ...  # type: ignore[assignment]  # that is what is refused


class Demanding(Protocol):
    """More than a Context has."""

    cancelled: bool
    price: float


def of_a_demanding_protocol(shape: Circle, job: Demanding) -> None: ...


class Opaque:
    """A type that Pydantic does not know."""


def of_an_opaque_type(shape: Opaque) -> None: ...


def with_an_opaque_result(shape: Circle) -> Opaque: ...  # type: ignore[empty-body]  # it is never called


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (generator, r"generator\(\) is a generator"),
        (async_generator, r"async_generator\(\) is a generator"),
        (lambda shape: shape, r"<lambda>\(\) is a lambda"),
        (two_contexts, r"two_contexts\(\) has two parameters for the Context, 'job' and 'other'"),
        (not_annotated, r"parameter 'job' of not_annotated\(\) has no annotation"),
        (any_arguments, r"any_arguments\(\) takes \*shapes"),
        (any_names, r"any_names\(\) takes \*\*shapes"),
        (by_position, r"parameter 'width' of by_position\(\) can be passed by position alone"),
        (with_a_clock, r"parameter 'clock' of with_a_clock\(\) is no Context, and cannot be an input"),
        (endless, r"default of parameter 'limit' of endless\(\), inf, is not JSON .*no number"),
        (of_another_type, r"default of parameter 'limit' of of_another_type\(\), 'none', is not JSON of its type"),
        (of_a_demanding_protocol, r"parameter 'job' of of_a_demanding_protocol\(\) is no Context"),
        (of_an_opaque_type, r"parameter 'shape' of of_an_opaque_type\(\)"),
        (with_an_opaque_result, r"the type of the result of with_an_opaque_result\(\) has no JSON Schema"),
        (print, r"print\(\)"),
        (len, r"len\(\)"),
    ],
)
def test_a_function_whose_attempts_would_all_fail_is_refused(function: Callable[..., Any], reason: str) -> None:
    assert re.search(reason, refusal(function))


class Stoppable(Protocol):
    """The part of a Context that an operation uses."""

    @property
    def cancelled(self) -> bool: ...


def of_a_protocol(shape: Circle, job: Stoppable) -> object:
    return job


def of_an_optional_context(shape: Circle, job: Context | None = None) -> object:
    return job


def context_first(job: Context, shape: Circle) -> object:
    return job


def context_by_name(shape: Circle, *, job: Context) -> object:
    return job


def all_by_name(*, shape: Circle, job: Context) -> object:
    return job


def context_before_names(job: Context, *, radius: float) -> object:
    return job


def context_between(radius: float, job: Annotated[Context, "any"], unit: str = "m") -> object:
    return job


def context_alone(job: Context) -> object:
    return job


@pytest.mark.parametrize(
    "function",
    [
        of_a_protocol,
        of_an_optional_context,
        context_first,
        context_by_name,
        all_by_name,
        context_before_names,
        context_between,
        context_alone,
    ],
)
def test_the_parameter_of_a_context_is_found_by_its_annotation_at_any_place(function: Callable[..., Any]) -> None:
    context = cast("Context", object())
    assert declared(function).run("{}" if function is context_alone else '{"radius":1}', context) is context

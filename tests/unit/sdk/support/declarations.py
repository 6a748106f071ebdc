"""Declarations of operations for the tests of the registry, and functions and models to declare."""

from collections.abc import Callable
from itertools import count
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field

from jobproc import Context, DeclarationError, Operation, operation
from jobproc.operations import operations_of

_numbers = count()  # functions here are declared by many tests
NO_CONTEXT = cast("Context", None)  # for operations that do not use it


class Circle(BaseModel):
    """An input with a constraint of its own."""

    kind: Literal["circle"] = "circle"
    radius: Annotated[float, Field(gt=0, le=10)]


class Square(BaseModel):
    """An input with a constraint of its own."""

    kind: Literal["square"] = "square"
    side: Annotated[float, Field(gt=0)]


def declared(function: Callable[..., Any], **options: Any) -> Operation:
    """Declare an operation and return it."""
    return operations_of([operation(name=f"deed_{next(_numbers)}", **options)(function)])[-1]


def refusal(function: Callable[..., Any], **options: Any) -> str:
    """Declare an operation that is refused; return the reason."""
    with pytest.raises(DeclarationError) as caught:
        operation(name="deed", **options)(function)
    text = str(caught.value)
    assert text.startswith("operation 'deed': ")
    assert "\n" not in text
    return text


def small(number: Annotated[int, Field(ge=0, le=10)] = 3) -> int:
    return number


def limited_model(shape: Annotated[Circle, Field(description="any circle")]) -> float:
    return shape.radius

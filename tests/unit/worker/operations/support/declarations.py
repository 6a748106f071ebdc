"""Declarations of operations for the tests of the registry, and functions and models to declare."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field

from common.domain.errors import StartupError
from worker.operations import Context, Operation, operation
from worker.operations.registry import operations_of

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
    return operations_of([operation("deed", **options)(function)])[-1]


def refusal(function: Callable[..., Any], **options: Any) -> str:
    """Declare an operation that is refused; return the reason."""
    with pytest.raises(StartupError) as caught:
        operation("deed", **options)(function)
    text = str(caught.value)
    assert text.startswith("operation 'deed': ")
    assert "\n" not in text
    return text


def small(number: Annotated[int, Field(ge=0, le=10)]) -> int:
    return number


def limited_model(shape: Annotated[Circle, Field(description="any circle")]) -> float:
    return shape.radius

"""The result of an operation: its schema, and its JSON by the annotation."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, PlainSerializer
from typing_extensions import TypedDict
from unit.sdk.support.declarations import declared

from jobproc import ResultNotJsonError


class Receipt(BaseModel):
    """A result that is a model."""

    number: int
    on: date = date(2026, 1, 2)


@dataclass
class Line:
    """A result that is a dataclass."""

    price: Decimal


class Row(TypedDict):
    """A result that is a dictionary with known members."""

    at: datetime


class Colour(Enum):
    """A result that is an enumeration."""

    RED = "red"


RECEIPT = '{"number":1,"on":"2026-01-02"}'


def returning(annotation: Any, value: object) -> Callable[[], Any]:
    def function():  # type: ignore[no-untyped-def]  # annotated in the next lines
        return value

    if annotation is not ...:
        function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (float, 1.5, "1.5"),
        (int | None, None, "null"),
        (None, None, "null"),
        (dict[str, list[int]], {"a": [1]}, '{"a":[1]}'),
        (Receipt, Receipt(number=1), RECEIPT),
        (list[Receipt], [Receipt(number=1)], f"[{RECEIPT}]"),
        (Line, Line(Decimal("1.50")), '{"price":"1.50"}'),
        (Row, {"at": datetime(2026, 1, 2, tzinfo=UTC)}, '{"at":"2026-01-02T00:00:00Z"}'),
        (date, date(2026, 1, 2), '"2026-01-02"'),
        (UUID, UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (bytes, b"\xff", '"_w=="'),
        (list[bytes], [b"\xff"], '["_w=="]'),
        (tuple[int, str], (1, "é"), '[1,"é"]'),
        (set[int], {1}, "[1]"),
        (dict[date, Colour], {date(2026, 1, 2): Colour.RED}, '{"2026-01-02":"red"}'),
        (Annotated[float, PlainSerializer(lambda value: f"{value:.2f}", return_type=str)], 1.0, '"1.00"'),
        (Receipt | date, date(2026, 1, 2), '"2026-01-02"'),
        # Without an annotation, or with one that says nothing: by its own type.
        (..., {"a": [Receipt(number=1), Line(Decimal(1))]}, f'{{"a":[{RECEIPT},{{"price":"1"}}]}}'),
        (Any, date(2026, 1, 2), '"2026-01-02"'),
        (object, b"\xff", '"_w=="'),
        (dict[str, object], {"on": date(2026, 1, 2)}, '{"on":"2026-01-02"}'),
    ],
)
def test_a_result_is_serialised_by_its_annotation(annotation: Any, value: object, text: str) -> None:
    assert declared(returning(annotation, value)).result_json(value) == text


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (..., object()),
        (..., float("nan")),
        (..., Receipt),
        (..., {date(2026, 1, 2): 1}),
        (float, float("inf")),
        (list[float], [float("nan")]),
        (Row, {"at": object()}),
        (Line, Line(price=object())),  # type: ignore[arg-type]  # that is what is refused
        (tuple[float, date], (float("nan"), date(2026, 1, 2))),
    ],
)
def test_a_result_that_json_cannot_hold_is_an_error(annotation: Any, value: object) -> None:
    with pytest.raises(ResultNotJsonError, match="the operation returned what JSON cannot hold: "):
        declared(returning(annotation, value)).result_json(value)


def test_a_result_of_another_type_than_annotated_is_stored_if_json_can_hold_it() -> None:
    """The operation has had its effect by then; a wrong annotation must not undo that."""
    assert declared(returning(Receipt, {"number": 1})).result_json({"number": 1}) == '{"number":1}'


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (..., {}),
        (Any, {}),
        (object, {}),
        (None, {"type": "null"}),
        (float, {"type": "number"}),
        (date, {"type": "string", "format": "date"}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (Receipt, Receipt.model_json_schema(mode="serialization")),
    ],
)
def test_the_schema_of_the_result_is_published(annotation: Any, schema: dict[str, Any]) -> None:
    assert declared(returning(annotation, None)).output_schema == schema


@pytest.mark.parametrize("annotation", [float, int, str, bool, None, list[float], dict[str, int | None], Any, ...])
def test_plain_results_are_encoded_without_a_conversion_first(annotation: Any) -> None:
    """Most results are plain, and a conversion would cost each of them microseconds."""
    assert declared(returning(annotation, None)).dump is None

"""The input of an operation: which parameters it fills, from which JSON."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict
from unit.sdk.support.declarations import NO_CONTEXT, Circle, Square, declared

from jobproc import Context, InvalidInputError


@dataclass
class Point:
    """An input that is a dataclass."""

    x: int
    y: int = 0


class Names(TypedDict):
    """An input that is a dictionary with known members."""

    first: str


class Sizes(RootModel[list[int]]):
    """An input that is a list."""


def of_model(shape: Circle) -> Any:
    return shape


def of_dataclass(point: Point) -> Any:
    return point


def of_typed_dict(names: Names) -> Any:
    return names


def of_dictionary(counts: dict[str, int]) -> Any:
    return counts


def of_union(shape: Circle | Square) -> Any:
    return shape


def of_root_model(sizes: Annotated[Sizes, Field(description="sizes")]) -> Any:
    return sizes.root


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (of_model, '{"radius":1}', Circle(radius=1)),
        (of_dataclass, '{"x":"1"}', Point(1)),
        (of_typed_dict, '{"first":"a"}', {"first": "a"}),
        (of_dictionary, '{"a":1}', {"a": 1}),
        (of_union, '{"kind":"square","side":1}', Square(side=1)),
        (of_root_model, "[1,2]", [1, 2]),
    ],
)
def test_a_single_parameter_of_a_type_of_objects_takes_the_whole_input(
    function: Callable[..., Any], text: str, value: object
) -> None:
    assert declared(function).run(text, NO_CONTEXT) == value


def of_number(number: int) -> Any:
    return number


def of_list(names: list[str]) -> Any:
    return names


def of_optional_model(shape: Circle | None) -> Any:
    return shape


def of_anything(value: Any) -> Any:
    return value


def of_two_models(shape: Circle, other: Square) -> Any:
    return shape, other


def resize(path: str, width: Annotated[int, Field(ge=1)] = 200, *, day: date = date(2026, 1, 2)) -> Any:
    """Return the members that came, and the defaults of those that did not."""
    return path, width, day


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (of_number, '{"number":1}', 1),
        (of_list, '{"names":["a"]}', ["a"]),
        (of_optional_model, '{"shape":null}', None),
        (of_anything, '{"value":[{}]}', [{}]),
        (of_two_models, '{"other":{"side":2},"shape":{"radius":1}}', (Circle(radius=1), Square(side=2))),
        (resize, '{"path":"a"}', ("a", 200, date(2026, 1, 2))),
        (resize, '{"path":"a","width":3,"day":"2026-03-04"}', ("a", 3, date(2026, 3, 4))),
    ],
)
def test_other_parameters_take_the_members_of_the_input(function: Callable[..., Any], text: str, value: object) -> None:
    assert declared(function).run(text, NO_CONTEXT) == value


@pytest.mark.parametrize("text", ['{"path":"a","height":3}', '{"width":3}', '{"path":"a","width":0}', '"a"', "[]"])
def test_unknown_missing_and_invalid_members_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        declared(resize).run(text, NO_CONTEXT)


def test_the_members_are_published_with_their_defaults() -> None:
    schema = declared(resize).input_schema
    assert schema["properties"] == {
        "path": {"type": "string", "title": "Path"},
        "width": {"type": "integer", "title": "Width", "minimum": 1, "default": 200},
        "day": {"type": "string", "title": "Day", "format": "date", "default": "2026-01-02"},
    }
    assert (schema["required"], schema["additionalProperties"], schema["title"]) == (["path"], False, "resize")


def of_nothing() -> str:
    return "done"


def of_a_context(job: Context) -> str:
    return "done"


@pytest.mark.parametrize("function", [of_nothing, of_a_context])
def test_an_operation_may_have_no_input(function: Callable[..., Any]) -> None:
    deed = declared(function)
    assert deed.run("{}", NO_CONTEXT) == "done"
    assert (deed.input_schema["properties"], deed.input_schema["additionalProperties"]) == ({}, False)
    with pytest.raises(InvalidInputError):
        deed.run('{"a":1}', NO_CONTEXT)


def of_many_types(at: date, key: UUID, price: Decimal, blob: bytes, either: int | str, nested: list[Point]) -> Any:
    return at, key, price, blob, either, nested


def test_members_may_have_any_type_of_pydantic() -> None:
    text = json.dumps(
        {
            "at": "2026-01-02",
            "key": "00000000-0000-0000-0000-000000000001",
            "price": "1.50",
            "blob": "_w==",
            "either": "a",
            "nested": [{"x": 1}],
        }
    )
    assert declared(of_many_types).run(text, NO_CONTEXT) == (
        date(2026, 1, 2),
        UUID(int=1),
        Decimal("1.50"),
        b"\xff",
        "a",
        [Point(1)],
    )


class Shadowing(BaseModel):
    """A model whose names are those of methods."""

    value: int = 1


def of_awkward_names(self: int, copy: int, json: int, model_config: Shadowing, _hidden: int = 4) -> Any:
    return self, copy, json, model_config.value, _hidden


def test_parameters_may_have_any_name() -> None:
    text = '{"self":1,"copy":2,"json":3,"model_config":{}}'
    assert declared(of_awkward_names).run(text, NO_CONTEXT) == (1, 2, 3, 1, 4)

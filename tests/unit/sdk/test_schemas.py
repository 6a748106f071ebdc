"""The published schema of an input: its constraints, defaults and formats, and what cannot be published."""

import json
import math
import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import pytest
from jsonschema_rs import validator_for
from pydantic import BaseModel, BeforeValidator, Field, RootModel, field_validator, model_validator
from unit.sdk.support.declarations import (
    NO_CONTEXT,
    Circle,
    Square,
    declared,
    limited_model,
    refusal,
    small,
)

from jobproc import InvalidInputError


class Sizes(RootModel[Annotated[list[int], Field(max_length=2)]]):
    """An input that is a list."""


def union(shape: Annotated[Circle | Square, Field(discriminator="kind")]) -> str:
    return shape.kind


def root(sizes: Sizes) -> int:
    return len(sizes.root)


@pytest.mark.parametrize(
    ("function", "valid", "invalid"),
    [
        (small, '{"number":10}', ['{"number":11}', '{"number":-1}', "10"]),
        (limited_model, '{"radius":10}', ['{"radius":11}', '{"radius":0}']),
        (union, '{"kind":"square","side":1}', ['{"kind":"square","side":0}', '{"kind":"disc"}']),
        (root, "[1,2]", ["[1,2,3]", '["a"]']),
    ],
    ids=["members", "model", "union", "list"],
)
def test_constraints_hold_when_a_job_runs_and_in_the_published_schema(
    function: Callable[..., Any], valid: str, invalid: list[str]
) -> None:
    deed = declared(function)
    schema = validator_for(deed.input_schema)
    deed.run(valid, NO_CONTEXT)
    assert schema.is_valid(json.loads(valid))
    for text in invalid:
        with pytest.raises(InvalidInputError):
            deed.run(text, NO_CONTEXT)
        assert not schema.is_valid(json.loads(text)), text


def test_a_union_is_published_with_its_discriminator() -> None:
    assert declared(union).input_schema["discriminator"]["propertyName"] == "kind"


class Endless(BaseModel):
    """An input whose default no JSON can hold."""

    limit: float = math.inf
    limits: list[float] = [1.0, -math.inf]
    name: str = "a\x00b"
    size: int = 3


def endless(limits: Endless) -> bool:
    return limits.limit == math.inf


def test_a_default_that_json_cannot_hold_is_not_published_and_still_applies(recwarn: pytest.WarningsRecorder) -> None:
    deed = declared(endless)
    defaults = {name: field.get("default") for name, field in deed.input_schema["properties"].items()}
    assert defaults == {"limit": None, "limits": None, "name": None, "size": 3}
    assert deed.run("{}", NO_CONTEXT) is True
    assert not recwarn.list


class Exemplary(BaseModel):
    """An input with an example that no JSON can hold."""

    limit: float = Field(examples=[1.0, math.inf])


class Odd(BaseModel):
    """An input with a description that PostgreSQL cannot hold."""

    limit: float = Field(description="a\x00b")


class Broken(BaseModel):
    """An input with a description that is no text."""

    limit: float = Field(description="a\ud800b")


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Exemplary, "input_schema.properties.limit.examples.1 is inf"),
        (Odd, r"input_schema.properties.limit.description has the character U\+0000"),
        (Broken, "input_schema.properties.limit.description has a lone surrogate"),
    ],
)
def test_a_schema_that_cannot_be_stored_is_refused_with_its_place(model: type[BaseModel], place: str) -> None:
    def function(numbers: Any) -> None: ...

    function.__annotations__["numbers"] = model
    assert re.search(place, refusal(function))


def test_a_docstring_that_cannot_be_stored_is_refused() -> None:
    def function(shape: Circle) -> None: ...

    function.__doc__ = "a\x00b"
    assert "description has the character U+0000" in refusal(function)


def _german(value: Any) -> Any:
    return "-".join(reversed(value.split("."))) if isinstance(value, str) else value


class Dates(BaseModel):
    """Dates with validators that run before that of the type."""

    plain: date
    annotated: Annotated[date | None, BeforeValidator(_german)] = None
    listed: Annotated[list[date], BeforeValidator(lambda value: value)] = []
    declared: Annotated[date, BeforeValidator(_german, json_schema_input_type=date)] = date(2026, 1, 1)
    decorated: date = date(2026, 1, 1)

    @field_validator("decorated", mode="before")
    @classmethod
    def _decorated(cls, value: Any) -> Any:
        return _german(value)


class German(BaseModel):
    """Dates that a validator of the whole model rewrites."""

    day: date

    @model_validator(mode="before")
    @classmethod
    def _rewritten(cls, value: Any) -> Any:
        return {"day": _german(value["day"])}


def of_dates(dates: Dates) -> None: ...


def of_german(dates: German) -> None: ...


def test_a_field_with_a_validator_that_runs_before_is_published_without_its_format() -> None:
    """The model takes more than the format says, and the API would refuse it."""
    deed = declared(of_dates)
    with_format = {name for name, field in deed.input_schema["properties"].items() if "format" in str(field)}
    assert with_format == {"plain", "declared"}
    deed.run('{"plain":"2026-01-13","annotated":"13.01.2026","decorated":"13.01.2026"}', NO_CONTEXT)
    assert declared(of_german).input_schema["properties"]["day"] == {"type": "string", "title": "Day"}

"""Patterns of texts: the API matches as the model of an operation does."""

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from api.submit.operations import CachedOperation
from common.domain.operation_spec import OperationSpec
from jobproc.schemas import published_schema

PATTERNS = (
    *(r"^\w+$", r"^\d+$", r"^\s$", r"^\S+$", r"^\W$", r"^[\w.-]+$", r"a\b", r"^[[:alpha:]]$", r"(?i)^ä$", r"^\p{Lu}$"),
    *(r"^(?P<name>a)$", r"^a\z", r"^[a-z]{1,3}$"),
)
TEXTS = (
    "",
    "a",
    "ab1",
    "é",
    "Ä",
    "٣",
    "1",
    "a b",
    "a é",
    "aé",
    "é.x",
    "a\n",
    "\u00a0",
    "\ufeff",
    "\x1c",
    "\x85",
    "abcd",
)


def verdicts(adapter: TypeAdapter[Any], value: Any) -> tuple[bool, bool]:
    """Return whether the model takes a value, and whether the API does."""
    operation = CachedOperation(OperationSpec("of_text", input_schema=published_schema(adapter, "validation")))
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError:
        return False, not operation.input_errors(value, characters=100)
    return True, not operation.input_errors(value, characters=100)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_matches_exactly_if_it_matches_in_the_model(pattern: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    compared = {text: verdicts(adapter, text) for text in TEXTS}
    assert {text: both for text, both in compared.items() if both[0] != both[1]} == {}
    assert {both[0] for both in compared.values()} == {True, False}


class Looking(BaseModel):
    """Input with a pattern that only Python's engine has."""

    model_config = ConfigDict(regex_engine="python-re")

    name: Annotated[str, Field(pattern=r"^(?!x)[a-z]+$")]


def test_a_pattern_that_looks_ahead_is_checked() -> None:
    adapter = TypeAdapter(Looking)
    assert verdicts(adapter, {"name": "abc"}) == (True, True)
    assert verdicts(adapter, {"name": "xbc"}) == (False, False)


def test_the_reason_has_the_pattern_and_not_the_value() -> None:
    schema = {"properties": {"name": {"type": "string", "pattern": r"^\d+$"}}}
    operation = CachedOperation(OperationSpec("of_names", input_schema=schema))
    assert operation.input_errors({"name": "secret"}, 100) == [("name", r'the value does not match "^\d+$"')]
    assert [path for path, _ in operation.input_errors({"name": 5}, 100)] == ["name"]


Stripped = Annotated[str, StringConstraints(strip_whitespace=True, max_length=3, pattern="^[a-z]+$")]


class AlwaysStripped(BaseModel):
    """Input whose texts are all stripped."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, Field(max_length=3)]


class Encoded(BaseModel):
    """Input with bytes as base64."""

    model_config = ConfigDict(val_json_bytes="base64")

    content: Annotated[bytes, Field(max_length=3)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [(Stripped, " abc "), (AlwaysStripped, {"name": " abc "}), (Encoded, {"content": "YWJj"})],
    ids=["stripped", "always stripped", "base64"],
)
def test_a_text_that_the_model_changes_before_its_limits_is_taken(type_: Any, value: Any) -> None:
    assert verdicts(TypeAdapter(type_), value) == (True, True)


def test_the_limits_of_other_texts_hold() -> None:
    assert verdicts(TypeAdapter(Annotated[str, Field(max_length=3)]), " abc ") == (False, False)
    assert verdicts(TypeAdapter(Annotated[bytes, Field(max_length=3)]), "abcd") == (False, False)

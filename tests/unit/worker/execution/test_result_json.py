"""Results as JSON text: names of dictionaries that are no texts, and the depth."""

import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from common.settings import Settings
from jobproc import ResultNotJsonError, operation
from jobproc.operations import operations_of
from jobproc.results import MAX_DEPTH
from worker.execution.attempt import result_json
from worker.operations.installed import installed


@operation
def return_anything():  # type: ignore[no-untyped-def]  # results without a type are what is tested
    """Return a value without a type."""


ANYTHING = installed(operations_of([return_anything])[0])


@pytest.fixture
def settings(bare: pytest.MonkeyPatch) -> Settings:
    """Return the default settings."""
    return Settings()


@pytest.fixture
def raised_recursion_limit() -> Iterator[None]:
    """Let the encoder go deeper than PostgreSQL, as an operation may."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(4 * MAX_DEPTH)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: {2.5: None}, "b": 1}, '{"1":{"2.5":null},"b":1}'),
        ({2: 1, True: [{None: 1}], "b": "{"}, '{"2":1,"true":[{"null":1}],"b":"{"}'),
        ({"big": 10**30}, '{"big":1000000000000000000000000000000}'),
        ("{", '"{"'),
    ],
)
def test_keys_that_are_no_texts_become_names(settings: Settings, value: object, text: str) -> None:
    assert result_json(value, ANYTHING, settings) == text


@pytest.mark.parametrize(
    "value",
    [
        {1: 2, "1": 3},
        {"a": [({True: 1, "true": 2},)]},
        {None: 1, "null": 2, "big": 10**30},
        Counter({1.5: 1, "1.5": 2}),
    ],
    ids=str,
)
def test_two_keys_with_one_name_are_refused(settings: Settings, value: object) -> None:
    with pytest.raises(ResultNotJsonError, match="two keys of a dictionary are the same name"):
        result_json(value, ANYTHING, settings)


def nested(levels: int) -> object:
    value: object = ()
    for level in range(levels - 1):
        value = [value] if level % 2 else (0, value)
    return value


@pytest.mark.parametrize("levels", [300, MAX_DEPTH])
def test_a_deep_result_is_stored(settings: Settings, raised_recursion_limit: None, levels: int) -> None:
    text = result_json(nested(levels), ANYTHING, settings)
    assert isinstance(text, str)
    assert text.count("[") == levels


def test_a_result_that_postgresql_could_not_parse_is_refused(settings: Settings, raised_recursion_limit: None) -> None:
    with pytest.raises(ResultNotJsonError, match="nested deeper than 5000"):
        result_json(nested(MAX_DEPTH + 1), ANYTHING, settings)

"""The decorator: names, options and registration of operations."""

import asyncio
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel
from unit.sdk.support.declarations import NO_CONTEXT, Circle, limited_model, refusal

import jobproc
from jobproc import Context, DeclarationError, InvalidInputError, Operation, Options, operation
from jobproc.operations import operations_of, registered


class Picture(BaseModel):
    """Input of a third party's operation."""

    url: str
    width: int = 100


def declared_as(function: Any) -> Operation:
    return operations_of([function])[-1]


def test_a_decorated_function_becomes_an_operation_with_the_defaults() -> None:
    @operation(name="thumbnail")
    def thumbnail(picture: Picture) -> int:
        """Make it small.

        More about it.
        """
        return picture.width

    declared = declared_as(thumbnail)
    assert (declared.name, declared.description, declared.is_async) == ("thumbnail", "Make it small.", False)
    assert declared.options == Options("default", ("default",), 3, 1.0, 300.0, 300.0, (), 1, 1)
    assert declared.input_schema == Picture.model_json_schema()
    assert declared.output_schema == {"type": "integer"}
    assert thumbnail(Picture(url="u", width=3)) == 3, "it stays an ordinary function"


@operation
def named_by_its_place(picture: Picture) -> str:
    return picture.url


@operation()
def also_named_by_its_place(picture: Picture) -> str:
    return picture.url


def test_without_a_name_module_and_function_are_the_name() -> None:
    for function in (named_by_its_place, also_named_by_its_place):
        assert declared_as(function).name == f"{__name__}.{function.__name__}"
        assert function(Picture(url="u")) == "u"


def test_all_options_are_kept() -> None:
    @operation(
        name="a.b_c9",
        queue="slow",
        queues=("slow", "slower"),
        max_attempts=1000,
        base_seconds=0.5,
        cap_seconds=10,
        timeout_seconds=None,
        permanent=(KeyError, ValueError),
        version=3,
        oldest_version=2,
    )
    def function(picture: Picture) -> None:
        pass

    assert declared_as(function).options == Options(
        "slow", ("slow", "slower"), 1000, 0.5, 10, None, (KeyError, ValueError), 3, 2
    )


@pytest.mark.parametrize(
    ("options", "queue", "queues"),
    [
        ({}, "default", ("default",)),
        ({"queue": "mail"}, "mail", ("mail",)),
        ({"queues": ("mail", "bulk")}, "mail", ("mail", "bulk")),
        ({"queue": "bulk", "queues": ("mail", "bulk")}, "bulk", ("mail", "bulk")),
    ],
    ids=["neither", "queue", "queues", "both"],
)
def test_the_first_of_the_queues_is_the_default(options: dict[str, Any], queue: str, queues: tuple[str, ...]) -> None:
    declared = declared_as(operation(name="thumbnail", **options)(function_for(Picture)))
    assert (declared.options.queue, declared.options.queues) == (queue, queues)


def test_a_queue_that_is_none_of_the_queues_is_refused() -> None:
    assert "queue='slow' of limited_model() is none of queues=('mail',)" in refusal(
        limited_model, queue="slow", queues=("mail",)
    )


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "a/b", "ä", "a\n", "a" * 65, 3])
def test_an_invalid_name_is_refused(name: Any) -> None:
    with pytest.raises(DeclarationError, match=r"cannot have this name: it must be 1 to 64 of a-z 0-9 _ \."):
        operation(name=name)(function_for(Picture))


@pytest.mark.parametrize("name", ["a", "a.b", "0_9", "a" * 64])
def test_valid_names_are_accepted(name: str) -> None:
    assert declared_as(operation(name=name)(function_for(Picture))).name == name


def test_a_name_that_is_not_given_by_its_name_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"takes its options by name, such as @operation\(name='send'\)"):
        operation("send")  # type: ignore[call-overload]  # the mistake that is tested


def function_for(model: type[BaseModel]) -> Callable[..., Any]:
    def function(model_input):  # type: ignore[no-untyped-def]  # annotated in the next line
        return model_input

    function.__annotations__["model_input"] = model
    return function


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 1001},
        {"queue": "Bad Queue"},
        {"queue": ""},
        {"queues": ("mail", "Bad Queue")},
        {"queues": ("mail", "mail")},
        {"queues": tuple(f"q{number}" for number in range(21))},
        {"timeout_seconds": 0},
        {"timeout_seconds": -1.0},
        {"timeout_seconds": 0.0001},
        {"timeout_seconds": float("inf")},
        {"timeout_seconds": float("nan")},
        {"base_seconds": -1.0},
        {"base_seconds": float("nan")},
        {"cap_seconds": -1.0},
        {"cap_seconds": float("inf")},
        {"permanent": KeyError},
        {"version": 1, "oldest_version": 2},
    ],
    ids=str,
)
def test_an_invalid_option_is_refused_with_the_function(options: dict[str, Any]) -> None:
    """It would else fail at the first job: a queue that no worker may serve, a timeout that rounds to 0 ms."""
    assert f"{list(options)[-1]}=" in (reason := refusal(limited_model, **options))
    assert "limited_model()" in reason


def test_an_async_function_is_declared_as_any_other_and_a_run_returns_its_coroutine() -> None:
    @operation(name="async_width", timeout_seconds=3)
    async def async_width(picture: Picture, job: Context) -> int:
        """Width of a picture."""
        return picture.width

    width = declared_as(async_width)
    assert (width.is_async, width.output_schema) == (True, {"type": "integer"})
    assert asyncio.run(width.run('{"url":"u","width":4}', NO_CONTEXT)) == 4
    with pytest.raises(InvalidInputError):
        width.run('{"width":4}', NO_CONTEXT)


def one_of_two(shape: Circle) -> float:
    return shape.radius


def two_of_two(shape: Circle) -> float:
    return shape.radius


def test_two_functions_of_one_name_are_refused_with_both() -> None:
    operation(name="taken_once")(one_of_two)
    with pytest.raises(DeclarationError) as caught:
        operation(name="taken_once")(two_of_two)
    assert re.search(
        r"two operations are called 'taken_once': .*\.one_of_two\(\) and .*\.two_of_two\(\)", str(caught.value)
    )
    assert registered["taken_once"].function is one_of_two


def test_a_module_may_be_reloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reloaded_operations.py").write_text(
        "import jobproc\n@jobproc.operation\ndef act(n: int) -> int:\n    return n\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_operations")
    first = cast("Any", module).act
    second = cast("Any", importlib.reload(module)).act
    assert first is not second
    assert registered["reloaded_operations.act"].function is second


def test_the_package_exports_what_its_pages_name() -> None:
    assert all(hasattr(jobproc, name) for name in jobproc.__all__)

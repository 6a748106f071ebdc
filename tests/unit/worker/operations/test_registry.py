"""The registry: which functions become operations, which are rejected, and where operations are found."""

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import BaseModel, ValidationError

from common.domain.errors import StartupError
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from worker.operations import Context, Numbers, Operation, operation
from worker.operations.registry import BUILT_IN, InvalidInputError, installed_operations, operations_of_modules

NO_CONTEXT = cast("Context", None)  # for operations that do not use it


class Picture(BaseModel):
    """Input of a third party's operation."""

    url: str
    width: int = 100


def registered(function: Any) -> Operation:
    return cast("Operation", function.__jobproc__)


def test_a_decorated_function_becomes_an_operation_with_the_defaults() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> int:
        """Make it small.

        More about it.
        """
        return picture.width

    spec = registered(thumbnail).spec
    assert spec == OperationSpec(
        "thumbnail", "default", RetryPolicy(3, 1.0, 300.0), 300.0, "Make it small.", Picture.model_json_schema()
    )
    assert registered(thumbnail).permanent == ()
    assert thumbnail(Picture(url="u", width=3)) == 3, "it stays an ordinary function"


def test_all_options_are_stored_in_the_spec() -> None:
    @operation(
        "a.b_c9",
        queue="slow",
        max_attempts=1000,
        base_seconds=0.5,
        cap_seconds=10,
        timeout_seconds=None,
        permanent=(KeyError, ValueError),
    )
    def function(picture: Picture) -> None:
        pass

    assert registered(function).spec == OperationSpec(
        "a.b_c9", "slow", RetryPolicy(1000, 0.5, 10), None, "", Picture.model_json_schema()
    )
    assert registered(function).spec.timeout_ms is None
    assert registered(function).permanent == (KeyError, ValueError)


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "a/b", "ä", "a\n", "a" * 65])
def test_an_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(StartupError, match=r"the name must be 1 to 64 of a-z 0-9 _ \."):
        operation(name)(function_for(Picture))


@pytest.mark.parametrize("name", ["a", "a.b", "0_9", "a" * 64])
def test_valid_names_are_accepted(name: str) -> None:
    assert registered(operation(name)(function_for(Picture))).spec.name == name


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
    ],
    ids=str,
)
def test_an_invalid_option_is_rejected_at_the_start(options: dict[str, Any]) -> None:
    """It would else fail at the first job: a queue that no worker may serve, a timeout that rounds to 0 ms."""
    with pytest.raises(StartupError, match="operation 'odd'"):
        operation("odd", **options)(function_for(Picture))


def no_argument() -> int:
    return 1


def three_arguments(picture: Picture, job: Context, extra: int) -> int:
    return 1


def not_annotated(numbers):  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1


def only_its_return_annotated(numbers) -> float:  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1.0


def only_the_context_annotated(numbers, job: Context):  # type: ignore[no-untyped-def]  # the mistake that is tested
    return 1


@pytest.mark.parametrize(
    "function", [no_argument, three_arguments, not_annotated, only_its_return_annotated, only_the_context_annotated]
)
def test_a_function_without_an_annotated_model_as_first_argument_is_rejected(function: Callable[..., Any]) -> None:
    with pytest.raises(StartupError, match=r"operation 'odd': .*the function take an annotated model"):
        operation("odd")(function)


def test_the_input_is_parsed_by_the_model_of_the_first_argument() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> str:
        return f"{picture.url} {picture.width}"

    assert registered(thumbnail).run('{"url":"u"}', NO_CONTEXT) == "u 100"
    with pytest.raises(ValidationError):
        registered(thumbnail).parse('{"width":1}')


def test_an_async_function_is_registered_as_any_other_and_a_run_returns_its_coroutine() -> None:
    @operation("async_width", timeout_seconds=3)
    async def async_width(picture: Picture, job: Context) -> int:
        """Width of a picture."""
        return picture.width

    width = registered(async_width)
    assert (
        width.spec.name,
        width.spec.timeout_s,
        width.spec.description,
        width.wants_context,
        width.is_async,
    ) == (
        "async_width",
        3,
        "Width of a picture.",
        True,
        True,
    )
    assert asyncio.run(width.run('{"url":"u","width":4}', NO_CONTEXT)) == 4
    with pytest.raises(InvalidInputError):
        width.run('{"width":4}', NO_CONTEXT)


def test_a_context_is_passed_to_functions_with_a_second_argument() -> None:
    @operation("with_context")
    def with_context(picture: Picture, job: Context) -> object:
        return job

    @operation("without_context")
    def without_context(picture: Picture) -> str:
        return picture.url

    sentinel = cast("Context", object())
    assert (registered(with_context).wants_context, registered(without_context).wants_context) == (True, False)
    assert registered(with_context).run('{"url":"u"}', sentinel) is sentinel
    assert registered(without_context).run('{"url":"u"}', sentinel) == "u"


def test_the_built_in_operations_are_found() -> None:
    operations = operations_of_modules(BUILT_IN)
    assert list(operations) == ["square_sum", "cube_sum"]
    assert operations["square_sum"].run('{"data":[1,2,3]}', NO_CONTEXT) == 14.0
    assert operations["cube_sum"].permanent == (OverflowError,)
    assert operations["square_sum"].spec.input_schema == Numbers.model_json_schema()


def test_a_third_partys_package_is_found_by_its_entry_point() -> None:
    """The tests install such a package: tests/operations."""
    operations = installed_operations()
    assert {"square_sum", "cube_sum", "noop", "hang_in_c", "other_queue"} <= set(operations)
    assert operations["other_queue"].spec.queue == "slow"
    assert all(name == operations[name].spec.name for name in operations)


def package(folder: Path, name: str, code: str) -> None:
    """Write a module of operations, installed with an entry point."""
    (folder / f"{name}.py").write_text(f"from worker.operations import Numbers, operation\n{code}")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jobproc.operations]\n{name} = {name}\n")


ONE = "@operation('one')\ndef one(numbers: Numbers) -> int:\n    return 1\n"


def test_two_packages_that_use_the_same_name_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "first_of_two", ONE)
    package(tmp_path, "second_of_two", ONE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="two operations are called 'one'"):
        installed_operations()


def test_a_name_used_twice_in_one_module_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "twice_in_one", ONE + ONE.replace("def one", "def other"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="two operations are called 'one'"):
        operations_of_modules(["twice_in_one"])


def test_an_operation_imported_by_a_second_module_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "where_it_is_made", ONE)
    package(tmp_path, "where_it_is_used", "from where_it_is_made import one\nalias = one\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(operations_of_modules(["where_it_is_made", "where_it_is_used"])) == ["one"]


@pytest.mark.parametrize(
    "code",
    [
        "import no_such_module",
        "raise ValueError('no licence')",
        "def broken(:",
        "@operation('BAD')\ndef f(n: Numbers): ...",
    ],
    ids=["import", "raise", "syntax", "name"],
)
def test_a_package_that_cannot_be_imported_stops_the_start_with_a_message(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "broken_operations", code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(StartupError) as caught:
        installed_operations()
    assert str(caught.value)

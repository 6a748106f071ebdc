"""The registry: what becomes an operation, what is refused, and where operations are found."""

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
from worker.operations.registry import BUILT_IN, InvalidInputError, installed, of_modules

NOBODY = cast("Context", None)  # for operations that do not look at it


class Picture(BaseModel):
    """Input of a third party's operation."""

    url: str
    width: int = 100


def made(function: Any) -> Operation:
    return cast("Operation", function.__jobproc__)


def test_a_decorated_function_becomes_an_operation_with_the_defaults() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> int:
        """Make it small.

        More about it.
        """
        return picture.width

    spec = made(thumbnail).spec
    assert spec == OperationSpec("thumbnail", "default", RetryPolicy(3, 1.0, 300.0), 300.0, "Make it small.", Picture.model_json_schema())
    assert made(thumbnail).permanent == ()
    assert thumbnail(Picture(url="u", width=3)) == 3, "it stays an ordinary function"


def test_every_option_is_kept() -> None:
    @operation("a.b_c9", queue="slow", max_attempts=1000, base_s=0.5, cap_s=10, timeout_s=None, permanent=(KeyError, ValueError))
    def function(picture: Picture) -> None:
        pass

    assert made(function).spec == OperationSpec("a.b_c9", "slow", RetryPolicy(1000, 0.5, 10), None, "", Picture.model_json_schema())
    assert made(function).spec.timeout_ms is None
    assert made(function).permanent == (KeyError, ValueError)


@pytest.mark.parametrize("name", ["", "A", "a b", "a-b", "a/b", "ä", "a\n", "a" * 65])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(StartupError, match=r"the name must be 1 to 64 of a-z 0-9 _ \."):
        operation(name)(made_for(Picture))


@pytest.mark.parametrize("name", ["a", "a.b", "0_9", "a" * 64])
def test_other_names_are_taken(name: str) -> None:
    assert made(operation(name)(made_for(Picture))).spec.name == name


def made_for(model: type[BaseModel]) -> Callable[..., Any]:
    def function(given):  # type: ignore[no-untyped-def]  # annotated in the next line
        return given

    function.__annotations__["given"] = model
    return function


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 1001},
        {"queue": "Bad Queue"},
        {"queue": ""},
        {"timeout_s": 0},
        {"timeout_s": -1.0},
        {"timeout_s": 0.0001},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"base_s": -1.0},
        {"base_s": float("nan")},
        {"cap_s": -1.0},
        {"cap_s": float("inf")},
        {"permanent": KeyError},
    ],
    ids=str,
)
def test_an_option_that_could_not_work_is_refused_at_the_start(options: dict[str, Any]) -> None:
    """Not when the first job runs: a queue no worker may serve, a limit that rounds to none, a delay that is no number."""
    with pytest.raises(StartupError, match="operation 'odd'"):
        operation("odd", **options)(made_for(Picture))


def no_argument() -> int:
    return 1


def three_arguments(one: Picture, two: Context, three: int) -> int:
    return 1


def not_annotated(numbers):  # type: ignore[no-untyped-def]  # that is what is wrong with it
    return 1


def only_its_return_annotated(numbers) -> float:  # type: ignore[no-untyped-def]  # that is what is wrong with it
    return 1.0


def only_the_context_annotated(numbers, job: Context):  # type: ignore[no-untyped-def]  # that is what is wrong with it
    return 1


@pytest.mark.parametrize("function", [no_argument, three_arguments, not_annotated, only_its_return_annotated, only_the_context_annotated])
def test_a_function_that_does_not_take_one_annotated_model_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(StartupError, match=r"operation 'odd': .*the function take an annotated model"):
        operation("odd")(function)


def test_the_input_is_parsed_by_the_model_of_the_first_argument() -> None:
    @operation("thumbnail")
    def thumbnail(picture: Picture) -> str:
        return f"{picture.url} {picture.width}"

    assert made(thumbnail).run('{"url":"u"}', NOBODY) == "u 100"
    with pytest.raises(ValidationError):
        made(thumbnail).parse('{"width":1}')


def test_an_async_function_is_registered_as_any_other_and_its_coroutine_is_what_a_run_gives() -> None:
    @operation("async_width", timeout_s=3)
    async def async_width(picture: Picture, job: Context) -> int:
        """Width of a picture."""
        return picture.width

    one = made(async_width)
    assert (one.spec.name, one.spec.timeout_s, one.spec.description, one.wants_context, one.is_async) == ("async_width", 3, "Width of a picture.", True, True)
    assert asyncio.run(one.run('{"url":"u","width":4}', NOBODY)) == 4
    with pytest.raises(InvalidInputError):
        one.run('{"width":4}', NOBODY)


def test_a_context_is_given_to_those_who_take_a_second_argument() -> None:
    @operation("with_context")
    def with_context(picture: Picture, job: Context) -> object:
        return job

    @operation("without_context")
    def without_context(picture: Picture) -> str:
        return picture.url

    sentinel = cast("Context", object())
    assert (made(with_context).wants_context, made(without_context).wants_context) == (True, False)
    assert made(with_context).run('{"url":"u"}', sentinel) is sentinel
    assert made(without_context).run('{"url":"u"}', sentinel) == "u"


def test_the_built_in_operations_are_found() -> None:
    found = of_modules(BUILT_IN)
    assert list(found) == ["square_sum", "cube_sum"]
    assert found["square_sum"].run('{"data":[1,2,3]}', NOBODY) == 14.0
    assert found["cube_sum"].permanent == (OverflowError,)
    assert found["square_sum"].spec.input_schema == Numbers.model_json_schema()


def test_a_third_partys_package_is_found_by_its_entry_point() -> None:
    """The tests bring such a package: tests/operations."""
    found = installed()
    assert {"square_sum", "cube_sum", "noop", "hang_in_c", "other_queue"} <= set(found)
    assert found["other_queue"].spec.queue == "slow"
    assert all(name == found[name].spec.name for name in found)


def package(folder: Path, name: str, code: str) -> None:
    """Write a module of operations, installed with an entry point."""
    (folder / f"{name}.py").write_text(f"from worker.operations import Numbers, operation\n{code}")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jobproc.operations]\n{name} = {name}\n")


ONE = "@operation('one')\ndef one(numbers: Numbers) -> int:\n    return 1\n"


def test_two_packages_that_use_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "first_of_two", ONE)
    package(tmp_path, "second_of_two", ONE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="two operations are called 'one'"):
        installed()


def test_a_name_used_twice_in_one_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "twice_in_one", ONE + ONE.replace("def one", "def other"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="two operations are called 'one'"):
        of_modules(["twice_in_one"])


def test_an_operation_seen_in_two_modules_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "where_it_is_made", ONE)
    package(tmp_path, "where_it_is_used", "from where_it_is_made import one\nalias = one\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(of_modules(["where_it_is_made", "where_it_is_used"])) == ["one"]


@pytest.mark.parametrize(
    "code",
    ["import no_such_module", "raise ValueError('no licence')", "def broken(:", "@operation('BAD')\ndef f(n: Numbers): ..."],
    ids=["import", "raise", "syntax", "name"],
)
def test_a_package_that_cannot_be_imported_stops_the_start_with_one_sentence(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "broken_operations", code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(StartupError) as caught:
        installed()
    assert str(caught.value)

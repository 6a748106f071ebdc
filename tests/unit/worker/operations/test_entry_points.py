"""The operations of an image: how they are found, and which packages stop the start of a worker."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from common.domain.errors import StartupError
from jobproc import Context, DeclarationError, hooks
from jobproc.operations import registered
from worker.operations.entry_points import BUILT_IN, installed_operations, operations_of_modules
from worker.operations.power_sums import Numbers

NO_CONTEXT = cast("Context", None)  # for operations that do not use it


def test_the_built_in_operations_are_found() -> None:
    operations = operations_of_modules(BUILT_IN)
    assert list(operations) == ["square_sum", "cube_sum"]
    assert operations["square_sum"].declared.run('{"data":[1,2,3]}', NO_CONTEXT) == 14.0
    assert operations["cube_sum"].declared.options.permanent == (OverflowError,)
    assert operations["square_sum"].spec.input_schema == Numbers.model_json_schema()


def test_a_third_partys_package_is_found_by_its_entry_point() -> None:
    """The tests install such a package: tests/operations."""
    operations = installed_operations()
    assert {"square_sum", "cube_sum", "noop", "hang_in_c", "other_queue"} <= set(operations)
    assert operations["other_queue"].spec.queue == "slow"
    assert all(name == operations[name].spec.name for name in operations)


@pytest.fixture(autouse=True)
def _forget_packages() -> Iterator[None]:
    """Forget the operations of the packages that the test has written."""
    installed_operations()  # modules that are imported once stay
    before = dict(registered)
    yield
    registered.clear()
    registered.update(before)


def package(folder: Path, name: str, code: str) -> None:
    """Write a module of operations, installed with an entry point."""
    (folder / f"{name}.py").write_text(
        f"from jobproc import operation\nfrom worker.operations.power_sums import Numbers\n{code}"
    )
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jobproc.operations]\n{name} = {name}\n")


def test_a_package_may_have_hooks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "process_start", [])
    package(tmp_path, "only_hooks", "import jobproc\n@jobproc.on_process_start\ndef start():\n    ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "square_sum" in installed_operations()
    assert [hook.name for hook in hooks.process_start] == ["only_hooks.start()"]


ONE = "@operation(name='one')\ndef one(numbers: Numbers) -> int:\n    return 1\n"


def test_two_packages_that_use_the_same_name_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "first_of_two", ONE)
    package(tmp_path, "second_of_two", ONE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match="two operations are called 'one'"):
        installed_operations()


def test_a_name_used_twice_in_one_module_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "twice_in_one", ONE + ONE.replace("def one", "def other"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        DeclarationError, match=r"two operations are called 'one': twice_in_one.one\(\) and .*other\(\)"
    ):
        operations_of_modules(["twice_in_one"])


def test_an_operation_imported_by_a_second_module_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "where_it_is_made", ONE)
    package(tmp_path, "where_it_is_used", "from where_it_is_made import one\nalias = one\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(operations_of_modules(["where_it_is_made", "where_it_is_used"])) == ["one"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('no licence')", "ValueError: no licence"),
        ("raise ValueError('no\\nlicence')", "ValueError: no licence"),
        ("def broken(:", "SyntaxError: "),
        ("exit()", "SystemExit: None"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("class End(BaseException): ...\nraise End", "fails: End$"),
        ("import asyncio; raise asyncio.CancelledError", "fails: CancelledError$"),
        ("@operation(name='BAD')\ndef f(n: Numbers): ...", "operation 'BAD': f\\(\\) cannot have this name"),
        ("", "it has no operation"),
        ("import worker.operations.power_sums", "it has no operation"),
        (ONE.replace("@op", "@(lambda f: lambda n: f(n))\n@op"), "operation 'one': .*first of its decorators"),
        (ONE.replace("@op", "import functools\n@functools.cache\n@op"), "operation 'one': .*first of its decorators"),
        (ONE.replace("'one'", "'first'") + ONE, "operation 'first': .*no name"),
        ("class Of:\n    @operation(name='x')\n    def f(n: Numbers): ...\n", "operation 'x': .*no name"),
    ],
)
def test_a_package_that_cannot_be_used_stops_the_start_with_one_sentence(
    code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the entry point and its package; no exception passes, so that none ends the worker silently."""
    package(tmp_path, "broken_operations", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_operations", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(StartupError) as caught:
        installed_operations()
    text = str(caught.value)
    assert text.startswith("entry point 'broken_operations' (broken_operations) of the package 'broken_operations': ")
    assert re.search(reason, text), text
    assert "\n" not in text


def test_an_interrupt_during_an_import_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "interrupted_operations", "raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        installed_operations()


def test_an_entry_point_of_an_object_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "object_operations", ONE)
    points = tmp_path / "object_operations-1.0.dist-info" / "entry_points.txt"
    points.write_text("[jobproc.operations]\nmine = object_operations:one\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartupError, match=r"'mine' \(object_operations:one\).*names a module"):
        installed_operations()


def test_names_of_a_module_are_not_asked_for_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies raise outside of a request, and mocks have every attribute."""
    lazy = "class Lazy:\n    def __getattribute__(self, name):\n        raise RuntimeError(name)\nproxy = Lazy()\n"
    package(tmp_path, "lazy_operations", lazy + ONE)
    monkeypatch.syspath_prepend(tmp_path)
    assert list(operations_of_modules(["lazy_operations"])) == ["one"]


def test_a_function_may_be_declared_under_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "doubled_operations", "@operation(name='uno')\n" + ONE)
    monkeypatch.syspath_prepend(tmp_path)
    assert set(operations_of_modules(["doubled_operations"])) == {"one", "uno"}

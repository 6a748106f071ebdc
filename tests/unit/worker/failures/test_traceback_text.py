"""Tracebacks as text: the frames of the operation, bounded, whatever was raised."""

import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from worker.failures import traceback_text as module
from worker.failures.traceback_text import MAX_EXCEPTIONS, cut_in_the_middle, traceback_text

THIS = __file__
LIMIT = 8_000


def raised(body: Callable[[], Any]) -> BaseException:
    try:
        body()
    except BaseException as error:  # noqa: BLE001 - the exception that the test is about
        return error
    raise AssertionError("nothing was raised")


def text_of(body: Callable[[], Any], max_characters: int = LIMIT) -> str:
    text = traceback_text(raised(body), max_characters)
    assert text is not None
    assert len(text) <= max_characters
    return text


def fail(text: str = "it failed") -> None:
    secret = "s3cret"  # noqa: S105 - a local variable
    raise ValueError(text + secret[:0])


def test_a_traceback_has_the_frames_as_python_writes_them() -> None:
    lines = text_of(fail).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{THIS}", line ')
    assert lines[1].endswith(", in raised")
    assert lines[2:] == [
        "    body()",
        f'  File "{THIS}", line {fail.__code__.co_firstlineno + 2}, in fail',
        "    raise ValueError(text + secret[:0])",
        "ValueError: it failed",
    ]


def test_a_traceback_has_no_locals() -> None:
    assert "s3cret" not in text_of(fail)


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that calls `fail` from a file of a package whose frames are left out."""
    monkeypatch.setattr(module, "_CALLER_FOLDERS", ("/own/",))
    space: dict[str, Any] = {"fail": fail}
    source = "def call():\n    fail()\ndef refuse():\n    raise TypeError('own')"
    exec(compile(source, "/own/call.py", "exec"), space)  # noqa: S102 - code of another file
    return space["call"]  # type: ignore[no-any-return]  # of a namespace


def test_frames_of_jobproc_above_those_of_the_operation_are_left_out(caller: Callable[[], None]) -> None:
    """`raised` calls it here; in a worker the frames begin with jobproc's own."""
    error = raised(caller)
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    text = traceback_text(error, LIMIT)
    assert text is not None
    assert "/own/call.py" not in text
    assert ", in fail\n" in text
    own = traceback_text(error, LIMIT, "/own/call.py")
    assert own is not None
    assert '"/own/call.py", line 2, in call' in own, "the file of a built-in operation"


def test_an_error_of_jobproc_alone_has_no_traceback(caller: Callable[[], None]) -> None:
    error = raised(caller.__globals__["refuse"])
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    assert traceback_text(error, LIMIT) is None
    assert traceback_text(ValueError("never raised"), LIMIT) is None


def test_no_characters_are_no_traceback() -> None:
    assert traceback_text(raised(fail), 0) is None


def _cause() -> None:
    try:
        fail("the cause")
    except ValueError as error:
        raise LookupError("the error") from error


def _context() -> None:
    try:
        fail("the cause")
    except ValueError:
        raise LookupError("the error")  # noqa: B904 - so that it has a context


def _no_context() -> None:
    try:
        fail("the cause")
    except ValueError:
        raise LookupError("the error") from None


@pytest.mark.parametrize(
    ("body", "between"),
    [
        (_cause, "direct cause of the following exception:"),
        (_context, "another exception occurred:"),
        (_no_context, ""),
    ],
)
def test_chained_exceptions_are_included_oldest_first(body: Callable[[], None], between: str) -> None:
    text = text_of(body)
    cause, _, rest = text.partition(between) if between else ("", "", text)
    assert "ValueError: the cause" in cause if between else "the cause" not in text.split("LookupError")[-1]
    assert rest.endswith("LookupError: the error")
    assert ("ValueError" in text) is bool(between)


def test_groups_have_the_traceback_of_each_exception() -> None:
    def body() -> None:
        raise BaseExceptionGroup("all", [raised(fail), ExceptionGroup("inner", [KeyError("k")])])

    text = text_of(body)
    assert "ExceptionGroup: all (2 sub-exceptions)\n  1 of 2:\n  | Traceback" in text
    assert "  | ValueError: it failed\n  2 of 2:\n" in text
    assert "  |   1 of 1:\n  |   | KeyError: 'k'" in text


def test_notes_are_included() -> None:
    def body() -> None:
        error = ValueError("x")
        error.add_note("row 7")
        raise error

    assert text_of(body).endswith("ValueError: x\nrow 7")


@pytest.mark.parametrize("max_characters", [1, 30, 60, 100, 500])
def test_a_long_traceback_is_cut_in_the_middle(max_characters: int) -> None:
    whole, text = text_of(_cause), text_of(_cause, max_characters)
    assert len(text) == max_characters < len(whole)
    assert whole.endswith(text[-10:])
    if max_characters >= 100:
        assert text.startswith("Traceback")
        assert "characters are left out" in text


def test_a_cut_text_says_how_much_is_missing() -> None:
    text = cut_in_the_middle("a" * 1_000 + "b" * 1_000, 100)
    left, missing, right = text.partition("\n  … ")[0], text.split()[2], text.rpartition("\n")[2]
    assert (set(left), set(right)) == ({"a"}, {"b"})
    assert len(left) + int(missing) + len(right) == 2_000


def _in_a_deep_stack(body: Callable[[], None]) -> BaseException:
    """Run a function with a recursion limit of 100,000 frames."""
    found: list[BaseException] = []
    limit, size = sys.getrecursionlimit(), threading.stack_size(512 << 20)
    sys.setrecursionlimit(100_000)
    try:
        thread = threading.Thread(target=lambda: found.append(raised(body)))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    return found[0]


def test_a_recursion_of_100_000_frames_is_quick_and_short() -> None:
    def alone(n: int) -> None:
        alone(n + 1)

    def one(n: int) -> None:
        other(n + 1)

    def other(n: int) -> None:
        one(n + 1)

    for begin, mark in ((alone, "times more"), (one, "left out")):
        error = _in_a_deep_stack(lambda begin=begin: begin(0))  # type: ignore[misc]  # bound in the loop
        began_s = time.thread_time()
        text = traceback_text(error, LIMIT)
        assert time.thread_time() - began_s < 2
        assert text is not None
        assert len(text) <= LIMIT
        assert mark in text
        assert "RecursionError: maximum recursion depth exceeded" in text


def test_an_endless_chain_is_cut() -> None:
    def body() -> None:
        error: Exception | None = None
        for number in range(10_000):
            new = ValueError(f"number {number}")
            new.__cause__, error = error, new
        assert error is not None
        raise error

    text = text_of(body, 100_000)
    assert "ValueError: number 9999" in text
    assert "earlier exceptions are left out" in text
    assert text.count("ValueError: number") == MAX_EXCEPTIONS


def test_a_circle_of_causes_ends() -> None:
    def body() -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    assert text_of(body).count("ValueError: ") == 2


def test_a_wide_and_deep_group_is_cut() -> None:
    def body() -> None:
        error: Exception = ValueError("leaf")
        for _ in range(100):
            error = ExceptionGroup("level", [error])
        raise ExceptionGroup("wide", [error, *(ValueError(n) for n in range(10_000))])

    text = text_of(body, 100_000)
    assert text.count("ValueError: ") < MAX_EXCEPTIONS
    assert "of its exceptions are left out" in text


class Rude(Exception):
    """An exception whose text raises."""

    def __str__(self) -> str:
        raise SystemExit(9)


class Evasive(Exception):
    """An exception that cannot be asked for its causes."""

    @property
    def __cause__(self) -> BaseException:
        raise MemoryError

    @__cause__.setter
    def __cause__(self, _: object) -> None:
        pass


@pytest.mark.parametrize(("error", "end"), [(Rude(), "Rude: (its text cannot be shown)"), (Evasive(), "MemoryError")])
def test_an_exception_that_refuses_to_answer_has_a_text_all_the_same(error: Exception, end: str) -> None:
    def body() -> None:
        raise error

    assert text_of(body).endswith(end)


def test_an_enormous_text_is_cut_and_the_frames_stay() -> None:
    text = text_of(lambda: fail("begin" + "x" * 50_000_000 + "end"))
    assert text.endswith("xxxend")
    assert ", in fail\n" in text


def test_a_line_or_a_name_without_end_is_cut() -> None:
    space: dict[str, Any] = {}
    exec(compile("def f():\n    raise ValueError('short')", "/no/" + "x" * 1_000_000, "exec"), space)  # noqa: S102 - code of another file
    text = text_of(space["f"], 100_000)
    assert len(text) < 3_000
    assert text.endswith("ValueError: short")


def test_frames_do_not_outlive_the_text() -> None:
    class Held:
        """An object that only a frame holds."""

    references: list[weakref.ref[Held]] = []

    def body() -> None:
        held = Held()
        references.append(weakref.ref(held))
        fail()

    assert "it failed" in text_of(body)
    assert [reference() for reference in references] == [None]

"""Hooks: their declaration, their order around an attempt, and what becomes of exceptions."""

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from unit.sdk.support.declarations import NO_CONTEXT, declared

from jobproc import Attempt, DeclarationError, HookError, around_attempt, hooks, on_process_start, on_process_stop

Run = Callable[[Callable[[], Any]], Any]


@pytest.fixture(autouse=True)
def _no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("process_start", "process_stop", "around_attempts"):
        monkeypatch.setattr(hooks, name, [])


def noop() -> None:
    """Do nothing."""


def run_plain(body: Callable[[], Any]) -> Any:
    with hooks.surround(declared(noop), NO_CONTEXT):
        return body()


def run_async(body: Callable[[], Any]) -> Any:
    async def run() -> Any:
        async with hooks.surround_async(declared(noop), NO_CONTEXT):
            await asyncio.sleep(0)
            return body()

    return asyncio.run(run())


both = pytest.mark.parametrize("run", [run_plain, run_async])


def fail(error: BaseException) -> Callable[[], Any]:
    def body() -> None:
        raise error

    return body


def record(calls: list[str], name: str) -> Callable[[Attempt], Iterator[None]]:
    def hook(attempt: Attempt) -> Iterator[None]:
        calls.append(f"{name} begins")
        try:
            yield
        except BaseException as error:
            calls.append(f"{name} sees {error!r}")
            raise
        calls.append(f"{name} ends")

    return hook


@both
def test_hooks_surround_an_attempt_the_first_one_outermost(run: Run) -> None:
    calls: list[str] = []
    around_attempt(record(calls, "outer"))
    around_attempt(record(calls, "inner"))

    def body() -> int:
        calls.append("runs")
        return 7

    assert run(body) == 7
    assert calls == ["outer begins", "inner begins", "runs", "inner ends", "outer ends"]


@both
def test_hooks_see_the_exception_of_the_operation(run: Run) -> None:
    calls: list[str] = []
    around_attempt(record(calls, "outer"))
    around_attempt(record(calls, "inner"))
    with pytest.raises(ValueError, match="broken") as caught:
        run(fail(ValueError("broken")))
    assert calls[2:] == ["inner sees ValueError('broken')", "outer sees ValueError('broken')"]
    files = {frame.name for frame in traceback.extract_tb(caught.value.__traceback__)}
    assert "hook" not in files  # the traceback is that of the operation


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (run_plain, ValueError("kept")),
        (run_plain, StopIteration("kept")),
        (run_async, ValueError("kept")),
        (run_async, SystemExit(3)),
    ],
)
def test_a_hook_cannot_end_an_exception(run: Run, error: BaseException) -> None:
    def swallow(attempt: Attempt) -> Iterator[None]:
        with contextlib.suppress(BaseException):
            yield

    around_attempt(swallow)
    with pytest.raises(type(error)) as caught:
        run(fail(error))
    assert caught.value is error


def test_a_stop_iteration_passes_a_hook_that_does_not_catch_it() -> None:
    around_attempt(record([], "a"))
    with pytest.raises(StopIteration):
        run_plain(fail(StopIteration()))


@both
def test_a_hook_may_raise_another_exception_which_outer_hooks_see(run: Run) -> None:
    calls: list[str] = []

    def translate(attempt: Attempt) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise KeyError("other") from error

    around_attempt(record(calls, "outer"))
    around_attempt(translate)
    with pytest.raises(KeyError):
        run(fail(ValueError("one")))
    assert calls[-1] == "outer sees KeyError('other')"


@both
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_hook_that_fails_fails_the_attempt(run: Run, place: str) -> None:
    calls: list[str] = []

    def broken(attempt: Attempt) -> Iterator[None]:
        if place == "before":
            raise OSError("the hook")
        yield
        raise OSError("the hook")

    around_attempt(record(calls, "outer"))
    around_attempt(broken)
    with pytest.raises(OSError, match="the hook"):
        run(lambda: calls.append("runs"))
    ran = ["runs"] if place == "after" else []
    assert calls == ["outer begins", *ran, "outer sees OSError('the hook')"]


@both
@pytest.mark.parametrize(("yields", "said"), [(0, "has not yielded"), (2, "has yielded twice")])
def test_a_hook_that_does_not_yield_once_fails_the_attempt(run: Run, yields: int, said: str) -> None:
    def uneven(attempt: Attempt) -> Iterator[None]:
        for _ in range(yields):
            yield

    async def uneven_async(attempt: Attempt) -> AsyncIterator[None]:
        for _ in range(yields):
            yield

    around_attempt(uneven_async if run is run_async else uneven)
    with pytest.raises(HookError, match=rf"test_hooks.*\.uneven(_async)?\(\) {said}"):
        run(noop)


def test_an_async_hook_surrounds_async_operations_alone_and_may_await() -> None:
    calls: list[str] = []

    async def hook(attempt: Attempt) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        calls.append("begins")
        try:
            yield
        except ValueError:
            await asyncio.sleep(0)
            calls.append("sees")

    around_attempt(hook)
    run_plain(noop)
    assert not calls
    with pytest.raises(ValueError, match="broken"):
        run_async(fail(ValueError("broken")))
    assert calls == ["begins", "sees"]


def test_a_hook_gets_the_operation_and_its_context() -> None:
    seen: list[Attempt] = []

    def hook(attempt: Attempt) -> Iterator[None]:
        seen.append(attempt)
        yield

    around_attempt(hook)
    operation = declared(noop)
    with hooks.surround(operation, NO_CONTEXT):
        pass
    assert seen == [Attempt(operation, NO_CONTEXT)]


async def async_start() -> None:
    """Do nothing."""


def test_process_hooks_are_kept_in_order_and_called_as_functions() -> None:
    assert on_process_start(noop) is noop
    assert on_process_start(async_start) is async_start
    assert on_process_stop(noop) is noop
    assert [(hook.function, hook.is_async) for hook in hooks.process_start] == [(noop, False), (async_start, True)]
    assert hooks.process_start[0].name.endswith("test_hooks.noop()")


def test_a_hook_that_is_declared_anew_takes_its_own_place() -> None:
    on_process_start(noop)
    on_process_start(async_start)
    on_process_start(noop)
    assert [hook.function for hook in hooks.process_start] == [noop, async_start]


def generates() -> Iterator[None]:
    yield


def takes_two(one: object, two: object) -> Iterator[None]:
    yield


def needs_one(needed: object) -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("decorate", "function", "said"),
    [
        (on_process_start, generates, r"@on_process_start needs a function .* generates\(\) is not"),
        (on_process_stop, takes_two.__get__(1), "@on_process_stop needs a function"),
        (on_process_stop, needs_one, r"@on_process_stop calls .* with no argument: missing"),
        (on_process_start, 3, "@on_process_start needs a function"),
        (around_attempt, noop, r"@around_attempt needs a generator function that yields once, which noop\(\) is not"),
        (around_attempt, generates, r"@around_attempt calls generates\(\) with the Attempt: too many"),
        (around_attempt, takes_two, "missing a required argument"),
    ],
)
def test_what_cannot_be_a_hook_is_refused(decorate: Callable[[Any], Any], function: Any, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        decorate(function)

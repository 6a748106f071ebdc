"""Hooks: functions that a worker process calls when it starts and stops, and around every attempt.

All hooks of the packages of an image apply, in the order of their declaration.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from types import TracebackType
from typing import Any, Literal, TypeVar

from jobproc.context import Context
from jobproc.errors import DeclarationError, HookError
from jobproc.operations import Operation
from jobproc.signature import described, place_of

F = TypeVar("F", bound=Callable[..., Any])
_END = object()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that a hook surrounds."""

    operation: Operation  #: its `name` and `options` are those of the declaration
    context: Context


@dataclass(frozen=True, slots=True)
class Hook:
    """A function that was declared as a hook."""

    function: Callable[..., Any]
    is_async: bool

    @property
    def name(self) -> str:
        """The function's name for a message, with its module."""
        return place_of(self.function)


#: The hooks that this process has declared, in order.
process_start: list[Hook] = []
process_stop: list[Hook] = []
around_attempts: list[Hook] = []


def on_process_start(function: F, /) -> F:
    """Declare a function to be called when a worker process starts, before it takes any job.

    An `async def` runs in the event loop in which the process runs its `async def` operations. If a hook raises, the
    process ends, and another one is started after a pause. Raises DeclarationError.
    """
    return _declare_process_hook(process_start, function, "on_process_start")


def on_process_stop(function: F, /) -> F:
    """Declare a function to be called when a worker process stops, after its last attempt.

    The hooks run in the reverse order of their declaration. If one raises, the others are still called. A process that
    crashes or is killed calls none. Raises DeclarationError.
    """
    return _declare_process_hook(process_stop, function, "on_process_stop")


def around_attempt(function: F, /) -> F:
    """Declare a generator function that surrounds every attempt: it takes an Attempt and yields once.

    The operation runs at its `yield`, which raises the exception of the operation, if there is one. The hook may raise
    another exception instead. A plain generator surrounds the attempts of all operations; one that is `async def` those
    of `async def` operations alone. Hooks declared first are outermost. Raises DeclarationError.
    """
    name, is_async = described(function), isasyncgenfunction(function)
    if not is_async and not isgeneratorfunction(function):
        raise DeclarationError(f"@around_attempt needs a generator function that yields once, which {name} is not")
    _check_call(function, "around_attempt", ("the Attempt",))
    _add(around_attempts, Hook(function, is_async))
    return function


def are_in(objects: Iterable[object]) -> bool:
    """Return True if one of the objects was declared as a hook."""
    ids = set(map(id, objects))
    return any(id(hook.function) in ids for hook in (*process_start, *process_stop, *around_attempts))


@contextmanager
def surround(operation: Operation, context: Context) -> Iterator[None]:
    """Run an attempt of a plain operation, the body of a `with`, between all plain hooks."""
    attempt = Attempt(operation, context)
    with ExitStack() as stack:
        for hook in around_attempts:
            if not hook.is_async:
                stack.enter_context(_Layer(hook, attempt))
        yield


@asynccontextmanager
async def surround_async(operation: Operation, context: Context) -> AsyncIterator[None]:
    """Run an attempt of an `async def` operation, the body of an `async with`, between all hooks."""
    attempt = Attempt(operation, context)
    async with AsyncExitStack() as stack:
        for hook in around_attempts:
            if hook.is_async:
                await stack.enter_async_context(_AsyncLayer(hook, attempt))
            else:
                stack.enter_context(_Layer(hook, attempt))
        yield


def _declare_process_hook(hooks: list[Hook], function: F, decorator: str) -> F:
    name = described(function)
    if not callable(function) or isgeneratorfunction(function) or isasyncgenfunction(function):
        raise DeclarationError(f"@{decorator} needs a function or an `async def`, which {name} is not")
    _check_call(function, decorator, ())
    _add(hooks, Hook(function, iscoroutinefunction(function)))
    return function


def _check_call(function: Callable[..., Any], decorator: str, arguments: tuple[str, ...]) -> None:
    try:
        signature(function).bind(*arguments)
    except TypeError as error:
        takes = arguments[0] if arguments else "no argument"
        raise DeclarationError(f"@{decorator} calls {described(function)} with {takes}: {error}") from error


def _add(hooks: list[Hook], hook: Hook) -> None:
    """Add a hook. A function that is declared anew takes the place of itself: its module was reloaded."""
    for position, known in enumerate(hooks):
        if known.name == hook.name and "<locals>" not in hook.name:
            hooks[position] = hook
            return
    hooks.append(hook)


class _Layer:
    """One plain hook around an attempt. It never ends an exception: what the operation raised fails the attempt."""

    def __init__(self, hook: Hook, attempt: Attempt) -> None:
        self._hook = hook
        self._generator: Iterator[None] = hook.function(attempt)

    def __enter__(self) -> None:
        if next(self._generator, _END) is _END:
            raise _no_yield(self._hook)

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        generator: Any = self._generator
        try:
            if error is None:
                next(generator)
            else:
                generator.throw(error)
        except StopIteration:
            return _unchanged(error, traceback)
        except BaseException as raised:
            if _is_same(raised, error):
                return _unchanged(error, traceback)
            raise
        generator.close()
        raise _second_yield(self._hook)


class _AsyncLayer:
    """One `async def` hook around an attempt, like _Layer."""

    def __init__(self, hook: Hook, attempt: Attempt) -> None:
        self._hook = hook
        self._generator: AsyncIterator[None] = hook.function(attempt)

    async def __aenter__(self) -> None:
        if await anext(self._generator, _END) is _END:
            raise _no_yield(self._hook)

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        generator: Any = self._generator
        try:
            if error is None:
                await anext(generator)
            else:
                await generator.athrow(error)
        except StopAsyncIteration:
            return _unchanged(error, traceback)
        except BaseException as raised:
            if _is_same(raised, error):
                return _unchanged(error, traceback)
            raise
        await generator.aclose()
        raise _second_yield(self._hook)


def _is_same(raised: BaseException, error: BaseException | None) -> bool:
    """Return True if a generator has raised what was thrown into it. Python wraps a StopIteration of it."""
    is_wrapped = isinstance(raised, RuntimeError) and isinstance(error, StopIteration | StopAsyncIteration)
    return raised is error or (is_wrapped and raised.__cause__ is error)


def _unchanged(error: BaseException | None, traceback: TracebackType | None) -> Literal[False]:
    """Let an exception go on, without the lines that the hook has added to its traceback."""
    if error is not None:
        error.__traceback__ = traceback
    return False


def _no_yield(hook: Hook) -> HookError:
    return HookError(f"the hook {hook.name} has not yielded; the attempt runs at its `yield`")


def _second_yield(hook: Hook) -> HookError:
    return HookError(f"the hook {hook.name} has yielded twice; an attempt runs once")

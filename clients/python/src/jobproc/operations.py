"""Operations: functions with their input, result and defaults, ready to be run by a worker or in a test."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from jobproc.context import Context
from jobproc.errors import DeclarationError, InvalidInputError, PermanentFailure, ResultNotJsonError
from jobproc.results import check_names_and_depth, encode, not_json
from jobproc.signature import Function, place_of


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults of an operation's jobs."""

    queue: str  #: queue of its jobs
    queues: tuple[str, ...]  #: those that a submission may name, `queue` included
    max_attempts: int  #: limit of charged attempts
    base_seconds: float  #: delay before the second attempt
    cap_seconds: float  #: longest delay
    timeout_seconds: float | None  #: limit of one attempt; None: no limit
    permanent: tuple[type[BaseException], ...]  #: exceptions after which a retry is of no use
    version: int  #: version of new submissions
    oldest_version: int  #: oldest version whose jobs this code still runs


@dataclass(frozen=True, slots=True)
class Operation:
    """A function that was declared as an operation."""

    name: str
    function: Function
    options: Options
    description: str  #: the first paragraph of the docstring
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]  #: empty: any JSON
    is_async: bool  #: an `async def`: many of its jobs run at a time in one process
    parse: Callable[[str], Any]  #: turns JSON text into the input; raises pydantic.ValidationError
    call: Callable[[Any, Context], Any]  #: calls the function with an input and a Context
    dump: Callable[[Any], Any] | None  #: turns a return value into what JSON can hold; None: it is encoded as it is
    load: Callable[[str], Any]  #: turns the JSON text of a result into a value by its annotation; raises ValueError

    def run(self, text: str, context: Context) -> Any:
        """Call the function with an input, given as JSON text; an `async def` returns its coroutine.

        Raises InvalidInputError if the input does not validate, and every exception of the function.
        """
        try:
            value = self.parse(text)
        except ValidationError as error:
            raise InvalidInputError(str(error)) from error
        return self.call(value, context)

    def jsonable(self, value: Any) -> Any:
        """Return a return value of the function as what `encode` takes, by its annotation.

        Raises ResultNotJsonError.
        """
        if self.dump is None:
            return value
        try:
            return self.dump(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise not_json(error) from error

    def result_json(self, value: Any) -> str:
        """Return a return value of the function as JSON text. Raises ResultNotJsonError."""
        jsonable = self.jsonable(value)
        text = encode(jsonable)
        check_names_and_depth(jsonable)
        return text

    def is_permanent(self, error: BaseException) -> bool:
        """Return True if a retry after an exception of the function is of no use."""
        return isinstance(error, (PermanentFailure, ResultNotJsonError, InvalidInputError, *self.options.permanent))


GROUP = "jobproc.operations"  # of the entry points that name the modules of operations
#: Every operation that this process has declared, by name, in order. Modules are searched for their functions.
registered: dict[str, Operation] = {}


def register(operation: Operation) -> None:
    """Add an operation. Raises DeclarationError if another function has its name.

    A function that is declared anew replaces itself: its module was reloaded, or it is made by another function.
    """
    other = registered.get(operation.name)
    if (
        other is not None
        and "<locals>" not in (place := place_of(operation.function))
        and place != place_of(other.function)
    ):
        raise DeclarationError(f"two operations are called {operation.name!r}: {place_of(other.function)} and {place}")
    registered[operation.name] = operation


def operations_of(functions: Iterable[object]) -> list[Operation]:
    """Return the operations that functions were declared as, in the order of their declaration.

    Asks the objects nothing: a module may have names for any object, such as one that raises for each attribute.
    """
    ids = set(map(id, functions))
    return [operation for operation in registered.values() if id(operation.function) in ids]

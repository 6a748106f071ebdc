"""The registry: turns decorated functions into operations that clients may submit jobs for."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.domain.errors import StartupError
from common.domain.job import QUEUE_PATTERN
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from worker.operations.input_schema import find_unstorable, input_schema
from worker.operations.signature import Function, Signature, UnusableFunctionError, described, signature_of

ATTEMPTS = range(1, 1001)
VERSIONS = range(1, 1001)
MIN_SECONDS = 0.001  # a shorter timeout would round to 0 ms, which means no limit
MAX_SECONDS = 2_147_483  # 24 days: in milliseconds it still fits the column, an integer
_NAME = re.compile(r"[a-z0-9_.]{1,64}")

# Checks of options that would otherwise fail at the first job only, such as a queue that no worker may serve, or a
# timeout that rounds to 0 ms or violates the table's check. The types are exact, because PostgreSQL refuses a
# catalogue with `true` or 3.0 for an integer.
_VALID: dict[str, Callable[[Any], bool]] = {
    "queue": lambda value: isinstance(value, str) and re.fullmatch(QUEUE_PATTERN, value) is not None,
    "max_attempts": lambda value: type(value) is int and value in ATTEMPTS,
    "base_seconds": lambda value: _is_number(value) and 0 <= value <= MAX_SECONDS,
    "cap_seconds": lambda value: _is_number(value) and 0 <= value <= MAX_SECONDS,
    "timeout_seconds": lambda value: value is None or (_is_number(value) and MIN_SECONDS <= value <= MAX_SECONDS),
    "version": lambda value: type(value) is int and value in VERSIONS,
    "oldest_version": lambda value: type(value) is int and value in VERSIONS,
    "permanent": lambda value: (
        isinstance(value, tuple)
        and all(isinstance(type_, type) and issubclass(type_, BaseException) for type_ in value)
    ),
}


class Numbers(BaseModel):
    """Input of the operations on a list of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


class Context(Protocol):
    """The running attempt, for an operation that takes a second argument."""

    @property
    def job_id(self) -> str:
        """The job's id."""

    @property
    def attempt(self) -> int:
        """The number of the attempt, 1 for the first."""

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Report progress: a fraction from 0 to 1 and a text, None for neither. Stored at most once a second.

        Returns False once the job was cancelled or is another worker's.
        """

    @property
    def cancelled(self) -> bool:
        """True within two seconds after a client has cancelled the job.

        Cheap: no other process is asked.
        """

    def check(self) -> None:
        """Raise common.domain.errors.Cancelled once the job was cancelled. The operation need not catch it."""


class InvalidInputError(Exception):
    """The input of a job does not validate against the model of its operation."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its specification and its function."""

    spec: OperationSpec
    function: Function
    parse: Callable[[str], Any]  #: turns JSON text into the model; raises pydantic.ValidationError
    wants_context: bool
    permanent: tuple[type[BaseException], ...]  #: exceptions after which a retry is of no use
    is_async: bool = False  #: an `async def`: many of its jobs run at a time in one process

    def run(self, text: str, context: Context) -> Any:
        """Call the function with an input, given as JSON text; an `async def` returns its coroutine.

        Raises InvalidInputError if the input does not validate, and every exception of the function.
        """
        try:
            model = self.parse(text)
        except ValidationError as error:
            raise InvalidInputError(str(error)) from error
        return self.function(model, context) if self.wants_context else self.function(model)


#: Every operation that this process has declared, in order. Modules are searched for their functions.
registered: list[Operation] = []


def operation(  # noqa: PLR0913 - keyword-only options of a decorator, each with a default
    name: str,
    *,
    queue: str = "default",
    max_attempts: int = 3,
    base_seconds: float = 1.0,
    cap_seconds: float = 300.0,
    timeout_seconds: float | None = 300.0,
    permanent: tuple[type[BaseException], ...] = (),
    version: int = 1,
    oldest_version: int = 1,
) -> Callable[[Function], Function]:
    """Register a function as the operation `name`.

    The first argument of the function is annotated with the Pydantic model of its input. A second argument is optional
    and gets a Context. The return value must be JSON. An `async def` runs beside many others in the event loop of its
    process.

    A retry waits min(cap_seconds, base_seconds * 2^n) seconds with jitter. `permanent` exceptions and PermanentFailure
    are not retried. `timeout_seconds` None: no limit.

    A job keeps the `version` that its operation had when it was submitted, and only workers that know this version
    claim it: raise the version where older code could not run new jobs. `oldest_version` is the oldest version whose
    jobs this code still runs.

    Raises StartupError for an invalid name, option or function.
    """
    options = {
        "queue": queue,
        "max_attempts": max_attempts,
        "base_seconds": base_seconds,
        "cap_seconds": cap_seconds,
        "timeout_seconds": timeout_seconds,
        "permanent": permanent,
        "version": version,
        "oldest_version": oldest_version,
    }
    if not isinstance(name, str):
        raise StartupError(f'@operation("…") needs the name of the operation; it has {described(name)}')

    def register(function: Function) -> Function:
        _check_options(name, options)
        try:
            signature = signature_of(function)
        except UnusableFunctionError as error:
            raise StartupError(f"operation {name!r}: {error}") from error
        adapter, schema = _input_of(name, function, signature)
        spec = OperationSpec(
            name=name,
            queue=queue,
            retry=RetryPolicy(max_attempts, base_seconds, cap_seconds),
            timeout_s=timeout_seconds,
            description=(function.__doc__ or "").strip().partition("\n\n")[0],
            input_schema=schema,
            version=version,
            oldest_version=oldest_version,
        )
        if reason := find_unstorable(spec.input_schema, "input_schema") or find_unstorable(
            spec.description, "description"
        ):
            raise StartupError(f"operation {name!r}: {described(function)} cannot be published: {reason}")
        registered.append(
            Operation(spec, function, adapter.validate_json, signature.wants_context, permanent, signature.is_async)
        )
        return function

    return register


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    if not _NAME.fullmatch(name):
        raise StartupError(f"operation {name!r}: the name must be 1 to 64 of a-z 0-9 _ .")
    invalid = [option for option, is_valid in _VALID.items() if not is_valid(options[option])]
    if not invalid and options["oldest_version"] > options["version"]:
        invalid = ["oldest_version"]
    if invalid:
        raise StartupError(
            f"operation {name!r}: {', '.join(f'{option}={options[option]!r}' for option in invalid)} cannot work"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _input_of(name: str, function: Function, signature: Signature) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    """Return the type of the input as Pydantic validates it, and its JSON Schema."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(signature.input_type)
        return adapter, input_schema(adapter)
    except Exception as error:  # Pydantic has several for types that it does not know, and those of the package pass
        raise StartupError(
            f"operation {name!r}: the type of parameter {signature.input_name!r} of {described(function)} cannot be "
            f"an input: {str(error).partition(chr(10))[0]}"
        ) from error


def operations_of(functions: Iterable[object]) -> list[Operation]:
    """Return the operations that functions were declared as, in the order of their declaration.

    Asks the objects nothing: a module may have names for any object, such as one that raises for each attribute.
    """
    ids = set(map(id, functions))
    return [operation for operation in registered if id(operation.function) in ids]

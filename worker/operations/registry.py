"""The registry: turns decorated functions into operations that clients may submit jobs for."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from inspect import iscoroutinefunction
from typing import Annotated, Any, Protocol, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.domain.errors import StartupError
from common.domain.job import QUEUE_PATTERN
from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy

ENTRY_POINT_GROUP = "jobproc.operations"
BUILT_IN = ("worker.operations.power_sums",)
ATTEMPTS = range(1, 1001)
VERSIONS = range(1, 1001)
MIN_SECONDS = 0.001  # a shorter timeout would round to 0 ms, which means no limit
MAX_SECONDS = 2_147_483  # 24 days: in milliseconds it still fits the column, an integer
_NAME = re.compile(r"[a-z0-9_.]{1,64}")

# Checks of options that would otherwise fail at the first job only, such as a queue that no worker may serve, or a
# timeout that rounds to 0 ms or violates the table's check.
_VALID: dict[str, Callable[[Any], bool]] = {
    "queue": lambda value: re.fullmatch(QUEUE_PATTERN, value) is not None,
    "max_attempts": lambda value: value in ATTEMPTS,
    "base_seconds": lambda value: 0 <= value <= MAX_SECONDS,
    "cap_seconds": lambda value: 0 <= value <= MAX_SECONDS,
    "timeout_seconds": lambda value: value is None or MIN_SECONDS <= value <= MAX_SECONDS,
    "version": lambda value: value in VERSIONS,
    "oldest_version": lambda value: value is not None,
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


Function = Callable[..., Any]


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
    is_version_known = isinstance(version, int) and oldest_version in range(1, version + 1)
    options = {
        "queue": queue,
        "max_attempts": max_attempts,
        "base_seconds": base_seconds,
        "cap_seconds": cap_seconds,
        "timeout_seconds": timeout_seconds,
        "permanent": permanent,
        "version": version,
        "oldest_version": oldest_version if is_version_known else None,
    }

    def register(function: Function) -> Function:
        argument_count = function.__code__.co_argcount
        model = get_type_hints(function).get(function.__code__.co_varnames[0]) if argument_count in (1, 2) else None
        if not _NAME.fullmatch(name) or model is None:
            raise StartupError(
                f"operation {name!r}: the name must be 1 to 64 of a-z 0-9 _ . and the function take an annotated model"
            )
        invalid = [option for option, is_valid in _VALID.items() if not is_valid(options[option])]
        if invalid:
            raise StartupError(
                f"operation {name!r}: {', '.join(f'{option}={options[option]!r}' for option in invalid)} cannot work"
            )
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        spec = OperationSpec(
            name=name,
            queue=queue,
            retry=RetryPolicy(max_attempts, base_seconds, cap_seconds),
            timeout_s=timeout_seconds,
            description=(function.__doc__ or "").strip().partition("\n\n")[0],
            input_schema=adapter.json_schema(),
            version=version,
            oldest_version=oldest_version,
        )
        wants_context = argument_count == 2  # noqa: PLR2004 - model and context
        is_async = iscoroutinefunction(function)
        registered = Operation(spec, function, adapter.validate_json, wants_context, permanent, is_async)
        function.__jobproc__ = registered  # type: ignore[attr-defined]  # where `operations_of_modules` finds it
        return function

    return register


def operations_of_modules(names: Iterable[str]) -> dict[str, Operation]:
    """Return the operations that modules define, by name. Raises StartupError if two operations have the same name."""
    operations: dict[str, Operation] = {}
    for module in map(import_module, names):
        for value in vars(module).values():
            registered = getattr(value, "__jobproc__", None)
            if registered is None:
                continue
            if operations.get(registered.spec.name, registered) is not registered:
                raise StartupError(f"two operations are called {registered.spec.name!r}")
            operations[registered.spec.name] = registered
    return operations


def installed_operations() -> dict[str, Operation]:
    """Return all operations of this image, by name: the built-in ones and those of installed packages.

    Raises StartupError if a package cannot be imported.
    """
    try:
        return operations_of_modules(
            [*BUILT_IN, *sorted({point.value for point in entry_points(group=ENTRY_POINT_GROUP)})]
        )
    except StartupError:
        raise
    except Exception as error:  # any exception that the import of a third party's module raises
        raise StartupError(f"a package of operations cannot be imported: {type(error).__name__}: {error}") from error

"""The registry: a decorated function becomes an operation that clients may name."""

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
MIN_SECONDS = 0.001  # a smaller limit would round to none
MAX_SECONDS = 2_147_483  # in milliseconds it fits the column, an integer: 24 days
_NAME = re.compile(r"[a-z0-9_.]{1,64}")


# What would fail only at the first job: a queue that no worker may serve, a limit that rounds to none or breaks the table's check.
_FITS: dict[str, Callable[[Any], bool]] = {
    "queue": lambda value: re.fullmatch(QUEUE_PATTERN, value) is not None,
    "max_attempts": lambda value: value in ATTEMPTS,
    "base_s": lambda value: 0 <= value <= MAX_SECONDS,
    "cap_s": lambda value: 0 <= value <= MAX_SECONDS,
    "timeout_s": lambda value: value is None or MIN_SECONDS <= value <= MAX_SECONDS,
    "version": lambda value: value in VERSIONS,
    "since": lambda value: value is not None,
    "permanent": lambda value: isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in value),
}


class Numbers(BaseModel):
    """Input of the operations on a list of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]


class Context(Protocol):
    """What an operation may ask about its job, when it takes a second argument."""

    @property
    def job_id(self) -> str:
        """The job's id."""

    @property
    def attempt(self) -> int:
        """1 in the first attempt."""

    def progress(self, fraction: float | None, text: str | None = None) -> bool:
        """Tell how far the job is, 0 to 1; stored at most once a second. Returns False once the job is another worker's, or was cancelled."""

    @property
    def cancelled(self) -> bool:
        """Whether a client has asked the job to stop; told within two seconds. Costs nothing to ask: no other process is."""

    def check(self) -> None:
        """Raise common.domain.errors.Cancelled, which may be let pass, once the job was asked to stop."""


Function = Callable[..., Any]


class InvalidInputError(Exception):
    """The model of an operation refuses the input of a job."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with its code."""

    spec: OperationSpec
    function: Function
    parse: Callable[[str], Any]  #: the input's JSON text to the model; raises pydantic.ValidationError
    wants_context: bool
    permanent: tuple[type[BaseException], ...]  #: exceptions that trying again cannot mend
    is_async: bool = False  #: an `async def`: many of its jobs run at a time in one process

    def run(self, text: str, context: Context) -> Any:
        """Run it on an input; an `async def` returns its coroutine.

        Raises InvalidInputError for an input that the model refuses, and what the function raises.
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
    base_s: float = 1.0,
    cap_s: float = 300.0,
    timeout_s: float | None = 300.0,
    permanent: tuple[type[BaseException], ...] = (),
    version: int = 1,
    since: int = 1,
) -> Callable[[Function], Function]:
    """Register a function under a name.

    Its first argument is annotated with the Pydantic model of its input; a second one, if there is one, gets a Context. Its
    return value must be JSON. An `async def` runs beside many others in the event loop of its process. Retries wait
    min(cap_s, base_s * 2^n) seconds with jitter; `permanent` exceptions and PermanentFailure are not retried. `timeout_s` None: no
    limit.

    A job keeps the `version` that its operation had when it was submitted, and only workers that know it take it: raise it where
    older code could not run what is submitted from now on. `since` is the oldest version whose jobs this code still runs.
    """
    options = {
        "queue": queue, "max_attempts": max_attempts, "base_s": base_s, "cap_s": cap_s, "timeout_s": timeout_s, "permanent": permanent,
        "version": version, "since": since if isinstance(version, int) and since in range(1, version + 1) else None,
    }  # fmt: skip

    def register(function: Function) -> Function:
        arguments = function.__code__.co_argcount
        model = get_type_hints(function).get(function.__code__.co_varnames[0]) if arguments in (1, 2) else None
        if not _NAME.fullmatch(name) or model is None:
            raise StartupError(f"operation {name!r}: the name must be 1 to 64 of a-z 0-9 _ . and the function take an annotated model")
        unfit = [option for option, fits in _FITS.items() if not fits(options[option])]
        if unfit:
            raise StartupError(f"operation {name!r}: {', '.join(f'{option}={options[option]!r}' for option in unfit)} cannot work")
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        spec = OperationSpec(
            name=name,
            queue=queue,
            retry=RetryPolicy(max_attempts, base_s, cap_s),
            timeout_s=timeout_s,
            description=(function.__doc__ or "").strip().partition("\n\n")[0],
            input_schema=adapter.json_schema(),
            version=version,
            since=since,
        )
        wants_context = arguments == 2  # noqa: PLR2004 - model and context
        made = Operation(spec, function, adapter.validate_json, wants_context, permanent, iscoroutinefunction(function))
        function.__jobproc__ = made  # type: ignore[attr-defined]  # where `of_modules` finds it
        return function

    return register


def of_modules(names: Iterable[str]) -> dict[str, Operation]:
    """Return the operations that modules define, by name. Raises StartupError for a name that is taken."""
    found: dict[str, Operation] = {}
    for module in map(import_module, names):
        for value in vars(module).values():
            made = getattr(value, "__jobproc__", None)
            if made is None:
                continue
            if found.get(made.spec.name, made) is not made:
                raise StartupError(f"two operations are called {made.spec.name!r}")
            found[made.spec.name] = made
    return found


def installed() -> dict[str, Operation]:
    """Return every operation of this image: the built-in ones and those of installed packages."""
    try:
        return of_modules([*BUILT_IN, *sorted({point.value for point in entry_points(group=ENTRY_POINT_GROUP)})])
    except StartupError:
        raise
    except Exception as error:  # whatever a third party's module raises while it is imported
        raise StartupError(f"a package of operations cannot be imported: {type(error).__name__}: {error}") from error

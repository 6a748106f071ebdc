"""The decorator `@operation`: turns a function into an operation, or says why it cannot be one."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar, overload

from jobproc.errors import DeclarationError, first_line
from jobproc.inputs import input_type
from jobproc.operations import Operation, Options, register
from jobproc.results import ResultType, result_type
from jobproc.schemas import find_unstorable
from jobproc.signature import Function, Signature, described, signature_of

F = TypeVar("F", bound=Callable[..., Any])
ATTEMPTS = range(1, 1001)
VERSIONS = range(1, 1001)
MAX_QUEUES = 20
MIN_SECONDS = 0.001  # a shorter timeout would round to 0 ms, which means no limit
MAX_SECONDS = 2_147_483  # 24 days: in milliseconds it still fits the column, an integer
_NAME = re.compile(r"[a-z0-9_.]{1,64}")
_QUEUE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")

# Checks of options that would otherwise fail at the first job only, such as a queue that no worker may serve, or a
# timeout that rounds to 0 ms or violates the table's check. The types are exact, because PostgreSQL refuses a
# catalogue with `true` or 3.0 for an integer.
_VALID: dict[str, Callable[[Any], bool]] = {
    "queue": lambda value: isinstance(value, str) and _QUEUE.fullmatch(value) is not None,
    "queues": lambda value: (
        isinstance(value, tuple)
        and len(value) <= MAX_QUEUES
        and all(isinstance(queue, str) and _QUEUE.fullmatch(queue) is not None for queue in value)
        and len(set(value)) == len(value)
    ),
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


@overload
def operation(function: F, /) -> F: ...
@overload
def operation(
    *,
    name: str | None = None,
    queue: str | None = None,
    queues: tuple[str, ...] = (),
    max_attempts: int = 3,
    base_seconds: float = 1.0,
    cap_seconds: float = 300.0,
    timeout_seconds: float | None = 300.0,
    permanent: tuple[type[BaseException], ...] = (),
    version: int = 1,
    oldest_version: int = 1,
) -> Callable[[F], F]: ...
def operation(  # noqa: PLR0913 - keyword-only options of a decorator, each with a default
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    queue: str | None = None,
    queues: tuple[str, ...] = (),
    max_attempts: int = 3,
    base_seconds: float = 1.0,
    cap_seconds: float = 300.0,
    timeout_seconds: float | None = 300.0,
    permanent: tuple[type[BaseException], ...] = (),
    version: int = 1,
    oldest_version: int = 1,
) -> F | Callable[[F], F]:
    """Declare a function as an operation: `@operation`, or with options `@operation(queue="mail")`.

    `name`: as clients submit it; None: module and function, such as `acme.mail.send`. `queue`: of its jobs, by default
    the first of `queues`, else `default`. `queues`: those that a submission may name. A failed attempt is retried, up
    to `max_attempts` attempts, after an exponential delay from `base_seconds` up to `cap_seconds`, unless it raised one
    of `permanent`. `timeout_seconds`: limit of one attempt, None for none. A job keeps the `version` of the operation
    at the time of its submission, and only workers that know this version claim it: raise the version where older code
    could not run new jobs. `oldest_version` is the oldest version whose jobs this code still runs.

    The parameters are the input, and a Context if one is annotated so. A single parameter whose type stands for objects
    of JSON, such as a model, takes the whole input; otherwise each parameter takes a member of the input. The result is
    serialised by its annotation. An `async def` runs beside many others in the event loop of its process.

    Raises DeclarationError, whose message names the function, for what could not work.
    """
    options = Options(
        queue=queues[0] if queue is None and queues else "default" if queue is None else queue,
        queues=queues,
        max_attempts=max_attempts,
        base_seconds=base_seconds,
        cap_seconds=cap_seconds,
        timeout_seconds=timeout_seconds,
        permanent=permanent,
        version=version,
        oldest_version=oldest_version,
    )

    def declare(function: F) -> F:
        """Register a function, and return it as it is."""
        declared_name = _default_name(function) if name is None else name
        try:
            register(_declared(declared_name, function, options))
        except DeclarationError as error:
            raise DeclarationError(f"operation {declared_name!r}: {error}") from error
        return function

    if function is None:
        return declare
    if not callable(function):
        raise DeclarationError(f"@operation takes its options by name, such as @operation(name={function!r})")
    return declare(function)


def _default_name(function: Function) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__name__', type(function).__name__)}"


def _declared(name: str, function: Function, options: Options) -> Operation:
    """Return the operation of a function. Raises DeclarationError."""
    signature = signature_of(function)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeclarationError(
            f"{described(function)} cannot have this name: it must be 1 to 64 of a-z 0-9 _ . "
            '(@operation(name="…") gives it one; else it is made of module and function)'
        )
    _check_options(function, options)
    input_, result = input_type(function, signature), _result_type(function, signature)
    operation = Operation(
        name=name,
        function=function,
        options=replace(options, queues=options.queues or (options.queue,)),
        description=(function.__doc__ or "").strip().partition("\n\n")[0],
        input_schema=input_.schema,
        output_schema=result.schema,
        is_async=signature.is_async,
        parse=input_.parse,
        call=input_.call,
        dump=result.dump,
        load=result.load,
    )
    for part in ("input_schema", "output_schema", "description"):
        if reason := find_unstorable(getattr(operation, part), part):
            raise DeclarationError(f"{described(function)} cannot be published: {reason}")
    return operation


def _result_type(function: Function, signature: Signature) -> ResultType:
    try:
        return result_type(signature.result_type)
    except Exception as error:  # Pydantic has several for types that it does not know, and those of the package pass
        raise DeclarationError(
            f"the type of the result of {described(function)} has no JSON Schema: {first_line(error)}"
        ) from error


def _check_options(function: Function, options: Options) -> None:
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    invalid = [option for option, is_valid in _VALID.items() if not is_valid(values[option])]
    if not invalid and options.oldest_version > options.version:
        invalid = ["oldest_version"]
    if invalid:
        given = ", ".join(f"{option}={values[option]!r}" for option in invalid)
        raise DeclarationError(f"{given} cannot work, for {described(function)}")
    if options.queues and options.queue not in options.queues:
        raise DeclarationError(f"queue={options.queue!r} of {described(function)} is none of queues={options.queues!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

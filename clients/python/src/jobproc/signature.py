"""The functions of operations: their parameters and results, and the check that a worker can call them.

A function is called with its input, and with a Context if it has a parameter for it. A function that cannot be called
so would fail each attempt of each job, so it is refused when its module is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature, unwrap
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from typing_extensions import get_protocol_members, is_protocol

from jobproc.context import Context
from jobproc.errors import DeclarationError

Function = Callable[..., Any]
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_RESULT = "return"


@dataclass(frozen=True, slots=True)
class InputParameter:
    """A parameter that takes the input, or a member of it."""

    name: str
    type: Any  #: its annotation, resolved
    default: Any  #: Parameter.empty: it has none
    is_named: bool  #: True if it may be passed by its name


@dataclass(frozen=True, slots=True)
class Signature:
    """The facts that a worker needs to call the function of an operation."""

    inputs: tuple[InputParameter, ...]  #: in order, without that of the Context
    context: str | None  #: name of the parameter that takes the Context
    order: tuple[str, ...]  #: names of the parameters that may be passed by position
    result_type: Any  #: the annotation of the result, resolved; Parameter.empty: there is none
    is_async: bool


def described(function: object) -> str:
    """Return a function's name for a message, as `name()`."""
    return f"{getattr(function, '__qualname__', None) or type(function).__qualname__}()"


def place_of(function: object) -> str:
    """Return a function's name with its module for a message, as `module.name()`."""
    return f"{getattr(function, '__module__', '?')}.{described(function)}"


def signature_of(function: Function) -> Signature:
    """Return the signature of a function. Decorators below `@operation` that use functools.wraps are seen through.

    Raises DeclarationError, whose message names the function, and the parameter if there is one.
    """
    name, innermost = described(function), unwrap(function)
    if getattr(innermost, "__name__", None) == "<lambda>":
        raise DeclarationError(f"{name} is a lambda; an operation is a function with a name")
    if isgeneratorfunction(innermost) or isasyncgenfunction(innermost):
        raise DeclarationError(f"{name} is a generator; an operation returns its result")
    is_async = _is_async(function)
    if _is_async(innermost) and not is_async:
        raise DeclarationError(
            f"{name} is `async def`, but a decorator of it is a plain function; the decorator must be `async def` too"
        )
    parameters, result = _parameters_and_result(function)
    inputs, contexts = [], []
    for parameter in parameters:
        type_ = _resolved(function, parameter.name, parameter.annotation)
        if _is_context(type_):
            contexts.append(parameter.name)
        else:
            inputs.append(InputParameter(parameter.name, type_, parameter.default, parameter.kind in _NAMED))
    if len(contexts) > 1:
        raise DeclarationError(f"{name} has two parameters for the Context, {contexts[0]!r} and {contexts[1]!r}")
    return Signature(
        tuple(inputs),
        contexts[0] if contexts else None,
        tuple(parameter.name for parameter in parameters if parameter.kind is not Parameter.KEYWORD_ONLY),
        result if result is Parameter.empty else _resolved(function, _RESULT, result),
        is_async,
    )


def check_call(function: Function, arguments: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Check that both the function and its outermost decorator can be called with arguments by position and by name.

    Raises DeclarationError.
    """
    for is_wrapped in (True, False):
        try:
            signature(function, follow_wrapped=is_wrapped).bind(*arguments, **dict.fromkeys(names))
        except ValueError:  # a decorator in C, such as functools.lru_cache, does not tell
            continue
        except TypeError as error:
            which = "" if is_wrapped else "the decorator of "
            given = ", ".join((*arguments, *(f"{name}=" for name in names))) or "no argument"
            raise DeclarationError(
                f"{which}{described(function)} cannot be called with {given}: {error}. A decorator below @operation "
                "must pass on all arguments and use functools.wraps"
            ) from error


def _is_async(function: Function) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - of an object that is called like a function
    return iscoroutinefunction(function) or iscoroutinefunction(call)


def _is_context(annotation: Any) -> bool:
    """Return True if an annotation is that of a Context: Context, `Context | None`, or a protocol that it fulfils."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_context(get_args(annotation)[0])
    if origin in (Union, UnionType):
        alternatives = [part for part in get_args(annotation) if part is not NoneType]
        return len(alternatives) == 1 and _is_context(alternatives[0])
    return (
        isinstance(annotation, type)
        and is_protocol(annotation)
        and get_protocol_members(annotation) <= get_protocol_members(Context)
    )


def _parameters_and_result(function: Function) -> tuple[list[Parameter], Any]:
    """Return the parameters of a function, and the annotation of its result. Raises DeclarationError."""
    name = described(function)
    try:
        found = signature(function)
    except Exception as error:  # a built-in function has none; annotations of Python 3.14 run when they are read
        raise DeclarationError(f"the parameters of {name} are unknown: {error}") from error
    for parameter in found.parameters.values():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            raise DeclarationError(
                f"{name} takes {parameter}, but an operation takes parameters with a name and a type. A decorator "
                "below @operation must use functools.wraps"
            )
        if parameter.annotation is Parameter.empty:
            raise DeclarationError(
                f"parameter {parameter.name!r} of {name} has no annotation; it must be a type that Pydantic validates, "
                "or jobproc.Context"
            )
    return list(found.parameters.values()), found.return_annotation


def _resolved(function: Function, name: str, annotation: Any) -> Any:
    """Return the annotation of a parameter or the result, with its metadata. Raises DeclarationError."""
    holder = SimpleNamespace(__annotations__={name: annotation})
    namespace = getattr(unwrap(function), "__globals__", {})
    try:
        resolved = get_type_hints(holder, namespace, include_extras=True)[name]
    except Exception as error:  # whatever the text of an annotation may raise
        which = "the result" if name == _RESULT else f"parameter {name!r}"
        raise DeclarationError(
            f"the annotation of {which} of {described(function)}, {annotation!r}, cannot be resolved: {error}. Its "
            "names must be imported at run time, not only under TYPE_CHECKING"
        ) from error
    return resolved

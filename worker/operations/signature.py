"""The functions of operations: their parameters, and the check that a worker can call them.

A function is called with its input, and with a Context if it has a second parameter. A function that cannot be called
so would fail each attempt of each job, so it is refused when its module is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature, unwrap
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

Function = Callable[..., Any]
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_WITH_CONTEXT = 2  # parameters


class UnusableFunctionError(Exception):
    """A function cannot be an operation; the message names it, and the parameter if there is one."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The facts that a worker needs to call the function of an operation."""

    input_name: str  #: name of the parameter that takes the input
    input_type: Any  #: its annotation, resolved
    wants_context: bool
    is_async: bool


def described(function: object) -> str:
    """Return a function's name for a message, as `name()`."""
    return f"{getattr(function, '__qualname__', None) or type(function).__qualname__}()"


def signature_of(function: Function) -> Signature:
    """Return the signature of a function. Decorators below `@operation` that use functools.wraps are seen through.

    Only the annotation of the input must be resolvable. Raises UnusableFunctionError.
    """
    name = described(function)
    if isgeneratorfunction(unwrap(function)) or isasyncgenfunction(unwrap(function)):
        raise UnusableFunctionError(f"{name} is a generator; an operation returns its result")
    is_async = _is_async(function)
    if _is_async(unwrap(function)) and not is_async:
        raise UnusableFunctionError(
            f"{name} is `async def`, but a decorator of it is a plain function; the decorator must be `async def` too"
        )
    positional = _positional_parameters(function)
    return Signature(
        positional[0].name, _input_type(function, positional[0]), len(positional) == _WITH_CONTEXT, is_async
    )


def _is_async(function: Function) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - of an object that is called like a function
    return iscoroutinefunction(function) or iscoroutinefunction(call)


def _positional_parameters(function: Function) -> list[Parameter]:
    """Return the parameter of the input, and that of the Context if there is one."""
    name = described(function)
    try:
        parameters = signature(function).parameters.values()
    except Exception as error:  # a built-in function has none; annotations of Python 3.14 run when they are read
        raise UnusableFunctionError(f"the parameters of {name} are unknown: {error}") from error
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    if not 1 <= len(positional) <= _WITH_CONTEXT:
        raise UnusableFunctionError(
            f"{name} has {len(positional)} positional parameters; it must take its input, and may take a Context. A "
            "decorator below @operation must use functools.wraps"
        )
    for parameter in parameters:
        if parameter.kind is Parameter.KEYWORD_ONLY and "Context" in str(parameter.annotation):
            raise UnusableFunctionError(
                f"parameter {parameter.name!r} of {name} is keyword-only; a Context is passed as the second argument"
            )
    if len(positional) == _WITH_CONTEXT and not _takes_context(_resolved(function, positional[1])):
        raise UnusableFunctionError(
            f"parameter {positional[1].name!r} of {name} must take a Context: the second argument is the Context"
        )
    _check_call(function, len(positional))
    return positional


def _check_call(function: Function, arguments: int) -> None:
    """Check that both the function and its outermost decorator can be called with so many arguments."""
    for is_wrapped in (True, False):
        try:
            signature(function, follow_wrapped=is_wrapped).bind(*range(arguments))
        except ValueError:  # a decorator in C, such as functools.lru_cache, does not tell
            continue
        except TypeError as error:
            given = "the input and the Context" if arguments == _WITH_CONTEXT else "the input"
            which = "" if is_wrapped else "the decorator of "
            raise UnusableFunctionError(
                f"{which}{described(function)} cannot be called with {given}: {error}"
            ) from error


def _input_type(function: Function, parameter: Parameter) -> Any:
    where = f"parameter {parameter.name!r} of {described(function)}"
    if parameter.annotation is Parameter.empty:
        raise UnusableFunctionError(f"{where} has no annotation; it must be the type of the input, a Pydantic model")
    resolved = _resolved(function, parameter)
    if isinstance(resolved, Exception):
        raise UnusableFunctionError(
            f"the annotation of {where}, {parameter.annotation!r}, cannot be resolved: {resolved}. The type of the "
            "input must be imported at run time, not only under TYPE_CHECKING"
        ) from resolved
    return resolved


def _resolved(function: Function, parameter: Parameter) -> Any:
    """Return a parameter's annotation, with its metadata; the exception if it cannot be resolved."""
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    namespace = getattr(unwrap(function), "__globals__", {})
    try:
        return get_type_hints(holder, namespace, include_extras=True)[parameter.name]
    except Exception as error:  # noqa: BLE001 - whatever the text of an annotation may raise
        return error


def _takes_context(annotation: Any) -> bool:
    """Return False if an annotation certainly excludes a Context. One that cannot be resolved may be a Context."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(map(_takes_context, get_args(annotation)))
    if origin is Annotated:
        return _takes_context(get_args(annotation)[0])
    kind = origin or annotation
    return (
        not isinstance(kind, type)
        or kind in (Any, object, Parameter.empty)
        or getattr(kind, "_is_protocol", False)
        or hasattr(kind, "progress")
    )

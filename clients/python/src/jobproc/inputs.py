"""The inputs of operations: their type by the parameters, and the call of a function with one.

A single parameter whose type stands for objects of JSON takes the whole input. Otherwise the input is an object, and
each parameter takes the member of its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, NotRequired, get_args, get_origin

from pydantic import ConfigDict, Field, RootModel, TypeAdapter, with_config
from typing_extensions import TypedDict

from jobproc.context import Context
from jobproc.errors import DeclarationError, first_line
from jobproc.results import BASE64, adapter_of
from jobproc.schemas import describes_objects, find_unstorable, published_schema
from jobproc.signature import Function, InputParameter, Signature, check_call, described

MEMBERS = BASE64 | ConfigDict(extra="forbid")
Call = Callable[[Any, Context], Any]


@dataclass(frozen=True, slots=True)
class InputType:
    """The type of an operation's input."""

    schema: dict[str, Any]  #: JSON Schema
    parse: Callable[[str], Any]  #: turns JSON text into the input; raises pydantic.ValidationError
    call: Call  #: calls the function with an input and a Context


def input_type(function: Function, signature: Signature) -> InputType:
    """Return the type of a function's input. Raises DeclarationError, whose message names the function."""
    if takes_whole_input(function, signature):
        (parameter,) = signature.inputs
        adapter, schema = _of_parameter(function, parameter)
        return InputType(schema, adapter.validate_json, _whole_input(function, signature, parameter.name))
    return _members(function, signature)


def takes_whole_input(function: Function, signature: Signature) -> bool:
    """Return True if the only parameter takes the whole input. Raises DeclarationError."""
    if len(signature.inputs) != 1:
        return False
    (parameter,) = signature.inputs
    return describes_objects(_of_parameter(function, parameter)[1]) or _is_root_model(parameter.type)


def _of_parameter(function: Function, parameter: InputParameter) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    """Return the type of a parameter as Pydantic validates it, and its JSON Schema."""
    try:
        adapter = adapter_of(parameter.type)
        return adapter, published_schema(adapter, "validation")
    except Exception as error:  # Pydantic has several for types that it does not know, and those of the package pass
        raise DeclarationError(
            f"the type of parameter {parameter.name!r} of {described(function)} is no Context, and cannot be an input: "
            f"{first_line(error)}"
        ) from error


def _is_root_model(type_: Any) -> bool:
    if get_origin(type_) is Annotated:
        return _is_root_model(get_args(type_)[0])
    return isinstance(type_, type) and issubclass(type_, RootModel)


def _whole_input(function: Function, signature: Signature, name: str) -> Call:
    """Return the call of a function that takes the whole input in one parameter."""
    context, by_position = signature.context, signature.order
    wanted = (name,) if context is None else (name, context)
    by_name = tuple(parameter for parameter in wanted if parameter not in by_position)
    check_call(function, by_position, by_name)
    if by_position == wanted:  # as most are: quick
        return function if context else lambda value, _job: function(value)

    def call(value: Any, job: Context) -> Any:
        """Call the function with its parameters in their order."""
        given = {name: value, context: job}
        return function(
            *(given[parameter] for parameter in by_position), **{parameter: given[parameter] for parameter in by_name}
        )

    return call


def _members(function: Function, signature: Signature) -> InputType:
    """Return the type of an input whose members are the parameters, and no others."""
    fields = {parameter.name: _field(function, parameter) for parameter in signature.inputs}
    arguments = TypedDict(getattr(function, "__name__", "Input"), fields)  # type: ignore[misc]  # made at run time
    adapter: TypeAdapter[Any] = TypeAdapter(with_config(MEMBERS)(arguments))
    context = signature.context
    check_call(function, (), tuple(fields) if context is None else (*fields, context))

    def call(value: dict[str, Any], job: Context) -> Any:
        """Call the function with the members of the input."""
        return function(**value) if context is None else function(**value, **{context: job})

    return InputType(published_schema(adapter, "validation"), adapter.validate_json, call)


def _field(function: Function, parameter: InputParameter) -> Any:
    """Return the field of the input for a parameter. The default is published; that of the function applies."""
    where = f"parameter {parameter.name!r} of {described(function)}"
    adapter, _ = _of_parameter(function, parameter)
    if not parameter.is_named:
        raise DeclarationError(f"{where} can be passed by position alone, but members of an input have names")
    if parameter.default is Parameter.empty:
        return parameter.type
    try:
        default = adapter.dump_python(parameter.default, mode="json", warnings="error")
    except (TypeError, ValueError) as error:
        reason: str | None = first_line(error)
    else:
        reason = find_unstorable(default, "the value")
    if reason:
        raise DeclarationError(f"the default of {where}, {parameter.default!r}, is not JSON of its type: {reason}")
    return NotRequired[Annotated[parameter.type, Field(json_schema_extra={"default": default})]]

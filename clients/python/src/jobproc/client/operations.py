"""Operations as callers see them: a name, the types of input and result, and the options of their jobs."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack, cast

from jobproc.client.calls.jobs import OMITTED
from jobproc.errors import DeclarationError

if TYPE_CHECKING:
    from jobproc.signature import Signature
    from jobproc.submission import SubmitOptions

P = ParamSpec("P")
R = TypeVar("R")


class OperationCall(Generic[P, R]):
    """An operation with the signature by which it is called; its body is not needed."""

    def __init__(self, name: str, function: Callable[..., Any], options: "SubmitOptions | None" = None) -> None:
        """Raise DeclarationError, which names the function, if its parameters or its result cannot be JSON."""
        # With Pydantic, which callers of operations by their names do without.
        from jobproc.inputs import takes_whole_input
        from jobproc.results import result_type
        from jobproc.signature import signature_of

        self.name = name
        self.function = function
        self.given: SubmitOptions = options or {}  #: options of the jobs
        self.__doc__ = function.__doc__
        self._signature: Signature = signature_of(function)
        self._is_whole = takes_whole_input(function, self._signature)
        parameters = inspect.signature(function).parameters.values()
        context = self._signature.context
        self._parameters = inspect.Signature([parameter for parameter in parameters if parameter.name != context])
        self._load = result_type(self._signature.result_type).load

    def options(self, **options: "Unpack[SubmitOptions]") -> Self:
        """Return the operation with options for its jobs, such as `priority=0`."""
        made = type(self).__new__(type(self))
        made.__dict__ = {**self.__dict__, "given": {**self.given, **options}}
        return made

    def input(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the input of a job for arguments. Raises TypeError, as a call with wrong arguments does."""
        given = self._parameters.bind(*args, **kwargs).arguments
        if self._is_whole:
            (parameter,) = self._signature.inputs
            return given.get(parameter.name, parameter.default)
        return given

    def load(self, value: Any) -> R:
        """Return the JSON of a result as a value of the annotation."""
        return cast("R", self._load(json.dumps(value)))


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of the operation that a function was declared as. Raises DeclarationError."""
    from jobproc.operations import registered
    from jobproc.signature import described

    for operation in registered.values():
        if operation.function is function:
            return operation.name
    raise DeclarationError(f'{described(function)} is no operation: decorate it, or give a name: remote("…")')


def submission_of(
    operation: "str | OperationCall[..., Any]", args: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[str, Any, Mapping[str, Any], Callable[[Any], Any] | None]:
    """Return the name, the input, the options and the reader of results of a submission.

    With a text `args` may have the input and `named` are the options; else both are the arguments of the operation.
    """
    if isinstance(operation, str):
        if len(args) > 1:
            raise TypeError(f"one input is expected, not {len(args)}")
        return operation, args[0] if args else OMITTED, named, None
    return operation.name, operation.input(*args, **named), operation.given, operation.load

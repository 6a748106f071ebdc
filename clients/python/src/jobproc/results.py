"""The results of operations: their schema by the annotation, and their JSON."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import to_jsonable_python

from jobproc.errors import ResultNotJsonError
from jobproc.schemas import published_schema

# Of a result. PostgreSQL parses 10,000 levels with its default stack, and takes the statement for too complex beyond.
MAX_DEPTH = 5_000
BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_PLAIN = (float, int, str, bool, NoneType, Any, object, Parameter.empty)


@dataclass(frozen=True, slots=True)
class ResultType:
    """The type of an operation's results."""

    schema: dict[str, Any]  #: JSON Schema; empty: any JSON
    #: Turns a return value into what JSON can hold, by the annotation. None: `encode` takes it as it is.
    dump: Callable[[Any], Any] | None
    load: Callable[[str], Any]  #: turns JSON text back into a value of the annotation; raises ValueError


def adapter_of(type_: Any) -> TypeAdapter[Any]:
    """Return Pydantic's adapter of a type. Bytes are base64, unless the type has a configuration of its own."""
    try:
        return TypeAdapter(type_, config=BASE64)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
    return TypeAdapter(type_)


def result_type(annotation: Any) -> ResultType:
    """Return the type for an annotation. Raises errors of Pydantic, and those of the package's types."""
    if annotation in (Any, object, Parameter.empty):
        return ResultType({}, None, json.loads)
    adapter = adapter_of(annotation)
    schema = published_schema(adapter, "serialization")
    if _is_plain(annotation):
        return ResultType(schema, None, adapter.validate_json)

    def dump(value: Any) -> Any:
        """Return a value as what JSON can hold."""
        return adapter.dump_python(value, mode="json", warnings=False)

    return ResultType(schema, dump, adapter.validate_json)


def encode(value: object) -> str:
    """Return a value as JSON text: anything JSON, and what Pydantic can make JSON of, such as dates and models.

    Raises ResultNotJsonError.
    """
    try:
        text = _encode(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise not_json(error) from error
    return text


def check_names_and_depth(value: object) -> None:
    """Raise ResultNotJsonError if two keys of a dictionary are one name in JSON, or a value is nested too deeply.

    Such keys are 1 and "1". `value` has been encoded already.
    """
    level, depth = [value], 0
    try:
        while level:
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
            parts = [part for container in level for part in _parts(container)]
            level = [part for part in parts if isinstance(part, dict | list | tuple)]
    except (TypeError, ValueError, RecursionError) as error:
        raise not_json(error) from error


def not_json(error: object) -> ResultNotJsonError:
    """Return the error for a value that JSON cannot hold, and the reason."""
    return ResultNotJsonError(f"the operation returned what JSON cannot hold: {error}")


def _parts(container: Any) -> Iterable[object]:
    if not isinstance(container, dict | list | tuple):
        return ()
    if not isinstance(container, dict):
        return container
    if len(json.loads(json.dumps(dict.fromkeys(container, 0)))) < len(container):
        raise ValueError('two keys of a dictionary are the same name, such as 1 and "1"')
    return container.values()


def _is_plain(annotation: Any) -> bool:
    """Return True if values of a type are encoded as they are: most results, for which a dump would only cost time."""
    if get_origin(annotation) in (list, dict, Union, UnionType):
        return all(map(_is_plain, get_args(annotation)))
    return any(annotation is type_ for type_ in _PLAIN)


def _jsonable(value: object) -> object:
    """Return what JSON can hold for a value that it cannot hold. The encoder calls it for nothing else."""
    return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")


_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_jsonable).encode

"""JSON Schemas of inputs and results, as they are published: JSON that PostgreSQL can store and the API can check."""

import math
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

_SCHEMAS = ("items", "additionalProperties", "propertyNames")  # keywords with a schema
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")  # with a list of schemas
_JSON = (str, int, float, bool, type(None))


def published_schema(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> JsonSchemaValue:
    """Return the schema of an input (validation) or a result (serialization).

    It has no defaults that JSON cannot hold, and no formats that may not hold.
    """
    return adapter.json_schema(schema_generator=_PublishedSchema, mode=mode)


def describes_objects(schema: JsonSchemaValue) -> bool:
    """Return True if every value that fits a schema is an object of JSON."""
    return _describes_objects(schema, schema.get("$defs", {}))


def _describes_objects(schema: JsonSchemaValue, definitions: dict[str, Any]) -> bool:
    if "$ref" in schema:
        return _describes_objects(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    for alternatives in (schema.get("anyOf"), schema.get("oneOf")):
        if alternatives:
            return all(_describes_objects(alternative, definitions) for alternative in alternatives)
    return schema.get("type") == "object"


def find_unstorable(value: object, place: str) -> str | None:
    """Return the first place in a value that JSON or PostgreSQL cannot hold, and why; None if there is none."""
    if isinstance(value, dict):
        names = [(f"{place}: a name", name) for name in value]
        return _first_unstorable(names + [(f"{place}.{name}", part) for name, part in value.items()])
    if isinstance(value, list | tuple):
        return _first_unstorable([(f"{place}.{index}", part) for index, part in enumerate(value)])
    reason = _reason(value)
    return reason and f"{place} {reason}"


def _reason(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, which is no number in JSON"
    if isinstance(value, str) and "\x00" in value:
        return "has the character U+0000"
    if isinstance(value, str) and value.encode(errors="replace").decode() != value:
        return "has a lone surrogate"
    return None if isinstance(value, _JSON) else f"is a {type(value).__name__}, which is not JSON"


def _first_unstorable(parts: list[tuple[str, object]]) -> str | None:
    return next((found for place, part in parts if (found := find_unstorable(part, place))), None)


class _PublishedSchema(GenerateJsonSchema):
    """Generates schemas for the catalogue."""

    ignored_warning_kinds = GenerateJsonSchema.ignored_warning_kinds | {"non-serializable-default"}

    def encode_default(self, dft: Any) -> Any:
        """Return a default as JSON. One that cannot be stored is left out: it still applies when a job runs."""
        if reason := find_unstorable(to_jsonable_python(dft, inf_nan_mode="constants"), "default"):
            raise PydanticSerializationError(reason)
        return super().encode_default(dft)

    def str_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a text. The limits of one that the model strips first are left to the model."""
        published = super().str_schema(schema)
        if schema.get("strip_whitespace", self._config.str_strip_whitespace):
            published = {name: value for name, value in published.items() if name not in ("maxLength", "pattern")}
        return published

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of bytes. The limits of encoded ones are left to the model: a text is longer than they."""
        published = super().bytes_schema(schema)
        if self._config.val_json_bytes != "utf8":
            published = {name: value for name, value in published.items() if name not in ("maxLength", "minLength")}
        return published

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a value that a function sees before its type is validated."""
        return self._without_unsure_formats(schema, super().function_before_schema(schema))

    def function_wrap_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a value that a function sees before its type is validated."""
        return self._without_unsure_formats(schema, super().function_wrap_schema(schema))

    def _without_unsure_formats(self, core_schema: Any, schema: JsonSchemaValue) -> JsonSchemaValue:
        """Leave formats out if a function of the package may take other texts, unless it says what it takes.

        The API checks formats, and would refuse a text that the function turns into a valid one.
        """
        is_declared = "json_schema_input_schema" in core_schema
        is_of_pydantic = str(getattr(core_schema["function"]["function"], "__module__", "")).startswith("pydantic")
        return schema if self.mode == "serialization" or is_declared or is_of_pydantic else _without_formats(schema)


def _without_formats(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name != "format"}
    for name in kept.keys() & _SCHEMAS:
        kept[name] = _without_formats(kept[name])
    for name in kept.keys() & _LISTS:
        kept[name] = [_without_formats(part) for part in kept[name]]
    if "properties" in kept:
        kept["properties"] = {name: _without_formats(part) for name, part in kept["properties"].items()}
    return kept

r"""The keyword `pattern` of a schema, as Pydantic reads it: `\w` and `\d` are letters and digits of every script.

In JSON Schema a pattern is one of JavaScript, where they are those of ASCII: the API would refuse a name with an
umlaut, which the model of the operation takes.
"""

from typing import Annotated, Any

from jsonschema_rs import validator_for
from pydantic import Field, TypeAdapter
from pydantic_core import SchemaError


class PatternKeyword:
    """A pattern of a schema. Pydantic's own engine takes time in proportion to the text, whatever the pattern."""

    def __init__(self, _schema: dict[str, Any], pattern: str, _path: list[str | int]) -> None:
        """Compile the pattern. Raises ValueError if no engine can."""
        self._pattern = pattern
        try:
            self._matches = TypeAdapter(Annotated[str, Field(pattern=pattern)]).validator.isinstance_python
        except SchemaError:  # such as one that looks ahead, for models that use Python's engine
            self._matches = validator_for({"pattern": pattern}).is_valid

    def is_valid(self, value: object) -> bool:
        """Return False for a text that does not match."""
        return not isinstance(value, str) or self._matches(value)

    def validate(self, value: object) -> None:
        """Raise ValueError with the reason for a text that does not match."""
        if not self.is_valid(value):
            raise ValueError(f'the value does not match "{self._pattern}"')

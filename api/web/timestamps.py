"""Timestamps in requests: RFC 3339 text with an offset, converted to UTC."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Strict

_YEARS = range(1970, 9999)  # a conversion to another time zone may change the year, so 9999 is excluded
_FORM = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
_SECOND = slice(16, 19)  # with its colon


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not _FORM.match(value):  # Pydantic would take a number for seconds since 1970
        raise ValueError("an RFC 3339 timestamp with an offset is expected")
    if value[_SECOND] == ":60":
        raise ValueError("a leap second has no time of its own; the second after it is expected")
    return value


def _utc(value: datetime) -> datetime:
    if value.year not in _YEARS:
        raise ValueError(f"a time between {_YEARS.start} and {_YEARS.stop - 1} is expected")
    return value.astimezone(UTC)


#: A field of a request; not strict, because JSON has no type for timestamps.
Timestamp = Annotated[AwareDatetime, Strict(False), BeforeValidator(_text), AfterValidator(_utc)]

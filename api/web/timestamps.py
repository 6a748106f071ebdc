"""Moments as clients write them: RFC 3339 text with an offset, and nothing else that could be taken for one."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Strict

_YEARS = range(1970, 9999)  # a year less at each end: in another zone it may be the next or the last one
_FORM = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not _FORM.match(value):  # a number would be taken for seconds since 1970
        raise ValueError("a moment is expected as RFC 3339 text with an offset")
    return value


def _utc(value: datetime) -> datetime:
    if value.year not in _YEARS:
        raise ValueError(f"a time between {_YEARS.start} and {_YEARS.stop - 1} is expected")
    return value.astimezone(UTC)


Timestamp = Annotated[AwareDatetime, Strict(False), BeforeValidator(_text), AfterValidator(_utc)]  # JSON has no moments

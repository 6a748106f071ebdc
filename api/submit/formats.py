"""The formats of texts that the API checks in inputs: those of Pydantic's types, as Pydantic itself reads them.

In JSON Schema a format is a remark, and validators read it strictly: they refuse dates with a space, UUIDs without
dashes and times without an offset, which the model of an operation takes. Here a format refuses a text only if no
Pydantic type that is published with this format takes it. So what is refused would have failed in the worker.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from pydantic import UUID1, UUID3, UUID4, UUID5, AnyUrl, TypeAdapter

_TYPES: dict[str, Any] = {
    "date": date,
    "date-time": datetime,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "uuid1": UUID1,
    "uuid3": UUID3,
    "uuid4": UUID4,
    "uuid5": UUID5,
    "uri": AnyUrl,
    "ipv4": IPv4Address,
    "ipv4interface": IPv4Interface,
    "ipv4network": IPv4Network,
    "ipv6": IPv6Address,
    "ipv6interface": IPv6Interface,
    "ipv6network": IPv6Network,
}

# Formats that jsonschema-rs checks by rules of its own. No type of Pydantic has them, or it has other rules: a regular
# expression is one of Python.
_UNCHECKED = (
    "hostname",
    "idn-email",
    "idn-hostname",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "uri-reference",
    "uri-template",
)


def _is_email(text: str) -> bool:
    """Return False if a text has no @ between two others. The library that knows the rules is in workers alone."""
    name, _, domain = text.strip().rpartition("@")
    return bool(name and domain)


def _is_anything(_text: str) -> bool:
    return True


#: The checks by format; a format that is not here is not checked.
FORMATS: dict[str, Callable[[str], bool]] = {
    **{name: TypeAdapter(type_).validator.isinstance_python for name, type_ in _TYPES.items()},
    **dict.fromkeys(_UNCHECKED, _is_anything),
    "email": _is_email,
}

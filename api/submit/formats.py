"""The formats of texts that the API checks in inputs: those of Pydantic's types, as Pydantic itself reads them.

In JSON Schema a format is a remark, and validators read it strictly: they refuse dates with a space, UUIDs without
dashes and times without an offset, which the model of an operation takes. Here a format refuses a text only if no
Pydantic type that is published with this format takes it. So what is refused would have failed in the worker.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from pydantic import (
    UUID1,
    UUID3,
    UUID4,
    UUID5,
    UUID6,
    UUID7,
    UUID8,
    AnyUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    TypeAdapter,
)

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
    "uuid6": UUID6,
    "uuid7": UUID7,
    "uuid8": UUID8,
    "uri": AnyUrl,
    "ipv4": IPv4Address,
    "ipv4interface": IPv4Interface,
    "ipv4network": IPv4Network,
    "ipv6": IPv6Address,
    "ipv6interface": IPv6Interface,
    "ipv6network": IPv6Network,
    "ipvanyaddress": IPvAnyAddress,
    "ipvanyinterface": IPvAnyInterface,
    "ipvanynetwork": IPvAnyNetwork,
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


# The rules of the library email-validator that no option of it lifts, but the length of labels. It takes quoted local
# parts and addresses in brackets where a package allows them, so these are not judged.
_ATOM = r"[a-zA-Z0-9_!#$%&'*+\-/=?^`{|}~\u0080-\U0010ffff]+"
_LABEL = r"[a-zA-Z0-9\u0080-\U0010ffff](?:[a-zA-Z0-9\-\u0080-\U0010ffff]*[a-zA-Z0-9\u0080-\U0010ffff])?"
_EMAIL = re.compile(rf'(?:{_ATOM}(?:\.{_ATOM})*|".+")@(?:{_LABEL}(?:\.{_LABEL})*|\[.+\])')
_WITH_NAME = re.compile(r"[^<]*<(.+)>\s*")  # as in `Ann <a@b.example>`
MAX_EMAIL_CHARACTERS = 2_048  # Pydantic's limit


def _is_email(text: str) -> bool:
    """Return False if no text of this form is an address. The library that knows all rules is in workers alone."""
    if len(text) > MAX_EMAIL_CHARACTERS:
        return False
    with_name = _WITH_NAME.fullmatch(text)
    return _EMAIL.fullmatch((with_name[1] if with_name else text).strip()) is not None


def _is_anything(_text: str) -> bool:
    return True


_BY_TYPE: dict[str, Callable[[object], bool]] = {
    name: TypeAdapter(type_).validator.isinstance_python for name, type_ in _TYPES.items()
}
#: The checks by format; a format that is not here is not checked.
FORMATS: dict[str, Callable[[str], bool]] = {
    **_BY_TYPE,
    **dict.fromkeys(_UNCHECKED, _is_anything),
    "email": _is_email,
    "name-email": _is_email,
}
#: Formats whose types take a number too, such as the seconds since 1970.
_NUMERIC = frozenset(name for name, is_valid in _BY_TYPE.items() if is_valid(0))
_VALUES = frozenset(("const", "default", "enum", "examples"))  # keywords with values, not with schemas


def with_numbers(schema: Any) -> Any:
    """Return a schema whose texts with such a format may be numbers, as Pydantic takes them."""
    if isinstance(schema, list):
        return [with_numbers(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: part if name in _VALUES else with_numbers(part) for name, part in schema.items()}
    if parts.get("type") == "string" and parts.get("format") in _NUMERIC:
        parts["type"] = ["string", "number"]
    return parts

"""Formats of texts: the API refuses what the model of an operation refuses, and nothing that it takes."""

import json
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from re import Pattern
from time import process_time
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    UUID1,
    UUID4,
    UUID7,
    AnyUrl,
    AwareDatetime,
    Field,
    FilePath,
    HttpUrl,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    PastDate,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from api.submit.formats import FORMATS
from api.submit.operations import CachedOperation
from common.domain.operation_spec import OperationSpec

#: Types whose format decides alone.
EXACT: tuple[Any, ...] = (
    date,
    datetime,
    time,
    timedelta,
    UUID,
    UUID1,
    UUID4,
    AnyUrl,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    UUID7,
    date | None,
    list[date],
    dict[date, int],
    date | UUID,
)
#: Types that take less than their format, or whose format is not checked.
NARROWER: tuple[Any, ...] = (
    AwareDatetime,
    PastDate,
    HttpUrl,
    PostgresDsn,
    FilePath,
    SecretStr,
    Pattern[str],
    bytes,
    Json[int],
    date | str,
    Annotated[str, Field(json_schema_extra={"format": "hostname"})],
)
_UUID1, _UUID4 = "2c1a4f6e-ce10-11f0-9c8e-325096b39f47", "9f6c7a54-5d0b-4c3e-8f0a-0d3a5a3c2b11"
TEXTS = (
    *("2026-13-45", "2026-01-13", "2026-1-3", "20260113", "2024-02-30", " 2026-01-13 ", "2026-01-13T00:00:00"),
    *("2026-01-13T00:00:01", "2026-01-13 10:00", "2026-01-13T10:00:00Z", "2026-01-13t10:00:00z"),
    *("2026-01-13_10:00:00", "2026-01-13T10:00:00+0100", "2016-12-31T23:59:60Z", "1700000000", "1700000000.5", "-1"),
    *("inf", "nan", "10:00", "10:00:00", "10:00:00Z", "10:00:00.123456789", "24:00:00", "25:00:00", "3600"),
    *("PT1H", "P3D", "P1W", "P1Y2M", "P", "-P1D", "1 day, 0:00:01", "3 days 04:05:06", "-1:00"),
    *(_UUID1, _UUID4, _UUID4.upper(), _UUID4.replace("-", ""), f"{{{_UUID4}}}", f"urn:uuid:{_UUID4}", _UUID4[:-1]),
    *("http://a", "http:a", "HTTP://ü.de/ x", "mailto:x@y", "//x", "file:///x", "http://[::1]:80/", "http://a b"),
    *("1.2.3.4", "01.2.3.4", "1.2.3", "16909060", " 1.2.3.4", "\uff11.2.3.4", "::1", "::ffff:1.2.3.4", "fe80::1%eth0"),
    *("http://a_b.example/x", "http://xn--n.example", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
    *("1.2.3.0/24", "1.2.3.4/24", "::/0", "1.2.3.4/255.255.255.0", "postgres://a@b/c", "a.b", "a_b..c", "(?P<a>x)"),
    *("", "a", "\x00", "é", "5"),
)


def verdicts(type_: Any, text: str | float) -> tuple[bool, bool]:
    """Return whether the model takes a text or a number, and whether the API does."""
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    operation = CachedOperation(OperationSpec("of_text", input_schema=adapter.json_schema()))
    schema = adapter.json_schema()
    value: Any = {"array": [text], "object": {str(text): 1}}.get(schema.get("type", ""), text)
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError:
        is_taken = False
    else:
        is_taken = True
    return is_taken, not operation.input_errors(value, characters=100)


@pytest.mark.parametrize("type_", EXACT, ids=str)
def test_a_text_is_refused_exactly_if_its_model_refuses_it(type_: Any) -> None:
    compared = {text: verdicts(type_, text) for text in TEXTS}
    assert {text: both for text, both in compared.items() if both[0] != both[1]} == {}
    assert {both[0] for both in compared.values()} == {True, False}


@pytest.mark.parametrize("type_", NARROWER, ids=str)
def test_no_text_is_refused_that_its_model_takes(type_: Any) -> None:
    compared = {text: verdicts(type_, text) for text in TEXTS}
    assert [text for text, both in compared.items() if both == (True, False)] == []


NUMBERS = (0, 1, -1, 1.5, 86_400, 1_700_000_000, 16_909_060, 1e20, 10**30)


@pytest.mark.parametrize("type_", [*EXACT, *NARROWER], ids=str)
def test_no_number_is_refused_that_a_model_of_texts_takes(type_: Any) -> None:
    """Pydantic takes a number of seconds for a time or a duration, and an integer for an address."""
    assert [number for number in NUMBERS if verdicts(type_, number) == (True, False)] == []


def test_numbers_are_taken_for_times_and_addresses_and_for_no_other_text() -> None:
    assert {verdicts(type_, 0) for type_ in (date, datetime, time, timedelta, IPv4Address)} == {(True, True)}
    assert {verdicts(type_, 0) for type_ in (str, UUID, AnyUrl)} == {(False, False)}


def test_a_value_that_looks_like_a_schema_stays_as_it_is() -> None:
    schema = {"const": {"type": "string", "format": "date"}}
    operation = CachedOperation(OperationSpec("of_a_constant", input_schema=schema))
    assert operation.input_errors({"type": "string", "format": "date"}, characters=100) == []
    assert operation.input_errors({"type": ["string", "number"], "format": "date"}, characters=100)


#: Texts that `EmailStr` takes, and some that it takes where the package of an operation changes its options.
EMAIL_ADDRESSES = (
    *("a@b.example", " a@b.example ", "a+b@c.example", "o'neill@b.example", "ü@ü.example", "a@xn--bcher-kva.example"),
    *("Ann <a@b.example>", '"Ann B." <a@b.example>', "Ann B. < a@b.example >", "a@b。example", "a@B.EXAMPLE"),
    *("a@localhost", '"a b"@c.example', "a@[1.2.3.4]"),
)
NO_EMAIL_ADDRESSES = (
    *("", "a", "@", "a@", "@b", " @b", "a b@c.example", "a@b@c.example", "a@b..c", "a@-b.example", "a@b-.example"),
    *("a@b.example.", ".a@b.example", "a.@b.example", "a..b@c.example", "a@b_c.example", "mailto:a@b.example"),
    *("Ann a@b.example", "Ann <a@b.example", "a@b.example, c@d.example", "a\n@b.example", "a@b c.example"),
    "a" * 2_048 + "@b.example",
)


@pytest.mark.parametrize("format_", ["email", "name-email"])
@pytest.mark.parametrize("text", EMAIL_ADDRESSES)
def test_a_text_that_may_be_an_email_address_is_taken(text: str, format_: str) -> None:
    assert FORMATS[format_](text)


@pytest.mark.parametrize("format_", ["email", "name-email"])
@pytest.mark.parametrize("text", NO_EMAIL_ADDRESSES)
def test_a_text_that_is_no_email_address_is_refused(text: str, format_: str) -> None:
    assert not FORMATS[format_](text)


@pytest.mark.parametrize("begin", ['"', "a", "<", "a@", '"a"@', "a." * 100])
def test_a_hostile_text_is_judged_at_once(begin: str) -> None:
    began = process_time()
    for repeated in ("a", ".", '"@', "<", " ", "-", "a.", "a@"):
        FORMATS["email"]((begin + repeated * 2_048)[:2_000] + "!")
    assert process_time() - began < 0.5


def test_the_reason_names_the_field_and_the_format_and_not_the_value() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
    operation = CachedOperation(OperationSpec("of_day", input_schema=schema))
    assert operation.input_errors({"day": "2026-13-45"}, characters=100) == [("day", 'the value is not a "date"')]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$schema": "http://127.0.0.1:1/schema"},
        {"pattern": r"a\Z"},
        {"type": "nothing"},
        {"title": "\ud800"},
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_used_refuses_no_input_and_no_other_operation(schema: dict[str, Any]) -> None:
    """The worker's model decides."""
    operation = CachedOperation(OperationSpec("of_nothing", input_schema=schema))
    assert operation.input_errors("text", characters=100) == []


def test_a_schema_that_refers_to_a_file_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "number"}')
    schema = {"$ref": (tmp_path / "schema.json").as_uri()}
    operation = CachedOperation(OperationSpec("of_a_file", input_schema=schema))
    assert operation.input_errors("text", characters=100) == []

"""Invalid bodies: each gets its problem at once, and nothing is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rig.system import System

MARK = "Zebra7"  # part of an input; no response may contain it
GOOD = b'{"data":[1,2,3],"operation":"square_sum"}'


def data(text: str) -> bytes:
    """Return the JSON of a submission with this data."""
    return b'{"data":%b,"operation":"square_sum"}' % text.encode()


@dataclass(frozen=True)
class Case:
    """A body and the problem that it gets."""

    name: str
    raw: bytes
    status: int
    kind: str
    fields: frozenset[str] = frozenset()


def malformed(name: str, raw: bytes) -> Case:
    return Case(name, raw, 400, "malformed-json")


def invalid(name: str, raw: bytes, *fields: str) -> Case:
    return Case(name, raw, 422, "invalid-body", frozenset(fields))


def unknown_operation(name: str, raw: bytes) -> Case:
    return Case(name, raw, 422, "unknown-operation", frozenset({"operation"}))


#: Bodies that are refused alone and as an element of a batch, with the fields that the problem names.
SUBMISSIONS = [
    invalid("not an object: array", b"[]", ""),
    invalid("not an object: number", b"1", ""),
    invalid("not an object: null", b"null", ""),
    invalid("not an object: text", b'"%b"' % MARK.encode(), ""),
    invalid("nothing in it", b"{}", "operation"),
    invalid("no operation", b'{"data":[1]}', "operation"),
    invalid("no data", b'{"operation":"square_sum"}', "data"),
    invalid("data: text", data(f'"{MARK}"'), "data"),
    invalid("data: object", data('{"0":1}'), "data"),
    invalid("data: null", data("null"), "data"),
    invalid("data: number", data("1"), "data"),
    invalid("operation: number", b'{"data":[1],"operation":5}', "operation"),
    invalid("operation: null", b'{"data":[1],"operation":null}', "operation"),
    invalid("operation: list", b'{"data":[1],"operation":["square_sum"]}', "operation"),
    invalid("operation: empty", b'{"data":[1],"operation":""}', "operation"),
    invalid("operation: too long", b'{"data":[1],"operation":"%b"}' % (MARK.encode() * 11), "operation"),
    invalid("both wrong", b'{"data":1,"operation":2}', "data", "operation"),
    invalid("unknown field", b'{"data":[1],"operation":"square_sum","extra":"%b"}' % MARK.encode(), "extra"),
    invalid("case of a field", b'{"Data":[1],"operation":"square_sum"}', "Data"),
    invalid("no numbers", data("[]"), "data"),
    invalid("a number too many", data("[" + "1," * 10_000 + "1]"), "data"),
    invalid("NaN", data("[1,NaN]"), "data.1"),
    invalid("Infinity", data("[Infinity,1]"), "data.0"),
    invalid("-Infinity", data("[1,2,-Infinity]"), "data.2"),
    invalid("1e400", data("[1e400]"), "data.0"),
    invalid("-1e400", data("[-1e400]"), "data.0"),
    invalid("integer past the largest double", data("[1" + "0" * 309 + "]"), "data.0"),
    invalid("integer of 4,000 digits", data("[" + "9" * 4_000 + "]"), "data.0"),
    invalid("true", data("[true]"), "data.0"),
    invalid("a number as text", data('["1"]'), "data.0"),
    invalid("null among numbers", data("[1,null]"), "data.1"),
    invalid("nested lists", data("[[1],[2]]"), "data.0", "data.1"),
    invalid("an object among numbers", data('[{"a":1}]'), "data.0"),
    invalid("nested 150 deep", data("[" * 150 + "]" * 150), "data.0"),
    invalid("escaped NUL in a field's name", b'{"data":[1],"operation":"square_sum","a\\u0000b":1}', "a\x00b"),
    invalid("escaped NUL in a tag", b'{"data":[1],"operation":"square_sum","tags":["a","b\\u0000"]}', "tags.1"),
    invalid(
        "escaped NUL in metadata", b'{"data":[1],"operation":"square_sum","metadata":{"a":["\\u0000"]}}', "metadata"
    ),
    invalid("escaped NUL in a key", b'{"data":[1],"operation":"square_sum","metadata":{"a\\u0000":1}}', "metadata"),
    invalid(
        "NUL after a backslash", b'{"data":[1],"operation":"square_sum","metadata":{"a":"\\\\\\u0000"}}', "metadata"
    ),
    invalid("NUL with input", b'{"input":{"data":[1]},"operation":"square_sum","tags":["\\u0000"]}', "tags.0"),
    unknown_operation("unknown operation", b'{"data":[1],"operation":"%b"}' % MARK.encode()),
    unknown_operation("escaped NUL in the operation", b'{"data":[1],"operation":"square\\u0000sum"}'),
    unknown_operation("another case of an operation", b'{"data":[1],"operation":"SQUARE_SUM"}'),
    malformed("not JSON", MARK.encode()),
    malformed("cut off", b'{"data":[1],"operation":"square_sum"'),
    malformed("single quotes", b"{'data':[1],'operation':'square_sum'}"),
    malformed("trailing comma", data("[1,]")),
    malformed("hexadecimal", data("[0x10]")),
    malformed("leading zero", data("[01]")),
    malformed("plus sign", data("[+1]")),
    malformed("comment", data("[1/*one*/]")),
    malformed("lone surrogate in the operation", b'{"data":[1],"operation":"\\ud800"}'),
    malformed("lone surrogate in the data", data('["\\udfff"]')),
    malformed("lone surrogate in a field's name", b'{"data":[1],"operation":"square_sum","\\ud800":1}'),
    malformed("raw surrogate bytes", b'{"data":[1],"operation":"\xed\xa0\x80"}'),
    malformed("bytes that are not UTF-8", b'{"data":[1],"operation":"\xff\xfe"}'),
    malformed("raw NUL in a text", b'{"data":[1],"operation":"square\x00sum"}'),
    malformed("raw NUL between tokens", b'{"data":[1],\x00"operation":"square_sum"}'),
    malformed("duplicate data", b'{"data":[1],"data":[2],"operation":"square_sum"}'),
    malformed("duplicate operation", b'{"data":[1],"operation":"square_sum","operation":"cube_sum"}'),
    malformed("duplicate by an escape", b'{"data":[1],"operation":"square_sum","d\\u0061ta":[2]}'),
    malformed("duplicate inside an unknown field", b'{"data":[1],"operation":"square_sum","x":{"a":1,"a":2}}'),
    malformed("10,000 lists deep", data("[" * 10_000 + "]" * 10_000)),
    malformed("10,000 objects deep", data('{"a":' * 10_000 + "1" + "}" * 10_000)),
    malformed("10,000 lists deep, never closed", data("[" * 10_000)),
]
ALONE = [
    malformed("empty", b""),
    malformed("white space", b" \r\n\t"),
    malformed("two values", GOOD + GOOD),
    malformed("UTF-16", GOOD.decode().encode("utf-16")),
    *(malformed(f"{coding} without a mark", GOOD.decode().encode(coding)) for coding in ("utf-16-le", "utf-16-be")),
    malformed("UTF-32", GOOD.decode().encode("utf-32")),
    malformed("byte order mark", b"\xef\xbb\xbf" + GOOD),
    malformed("NUL after the body", GOOD + b"\x00"),
    invalid("integer of 100,000 digits", data("[" + "9" * 100_000 + "]"), ""),
    invalid("negative integer of 100,000 digits", data("[-" + "9" * 100_000 + "]"), ""),
]


@pytest.mark.parametrize("case", SUBMISSIONS + ALONE, ids=lambda case: case.name)
def test_an_invalid_submission_is_refused(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], case: Case
) -> None:
    response = post(read_only_system, case.raw)
    body = assert_problem(response, case.status, case.kind)
    assert {error["field"] for error in body.get("errors", [])} == case.fields
    assert not case.fields or any(field in body["detail"] for field in case.fields)
    assert MARK not in response.text


@pytest.mark.parametrize("case", SUBMISSIONS, ids=lambda case: case.name)
def test_an_invalid_element_refuses_the_whole_batch_and_is_named_by_its_index(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], case: Case
) -> None:
    response = post(read_only_system, b"[%b,%b,%b]" % (GOOD, case.raw, GOOD), "/jobs/batch")
    body = assert_problem(response, case.status, case.kind)
    assert {error["field"] for error in body.get("errors", [])} == {f"1.{field}".rstrip(".") for field in case.fields}
    assert MARK not in response.text


def test_an_unknown_operation_gets_the_known_operations(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    body = assert_problem(post(read_only_system, b'{"data":[1],"operation":"nope"}'), 422, "unknown-operation")
    assert "known ones: " in body["detail"] and "cube_sum, square_sum" in body["detail"]
    assert "nope" not in body["detail"]
    assert "similar" not in body["detail"]
    assert "docs/howto/operations.md" in body["detail"]


def test_a_misspelt_operation_gets_the_name_that_was_meant(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    body = assert_problem(post(read_only_system, b'{"data":[1],"operation":"Square-Sum"}'), 422, "unknown-operation")
    assert body["detail"].startswith("operation: unknown operation; similar: square_sum; known ones: ")


@pytest.mark.parametrize(
    "case",
    [
        invalid("unknown", b'{"data":[1],"operation":"square_sum","%b":1}' % (b"k" * 500_000)),
        malformed("twice", b'{"%b":1,"%b":2}' % (b"k" * 400_000, b"k" * 400_000)),
    ],
    ids=lambda case: case.name,
)
def test_a_long_field_name_is_not_echoed(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], case: Case
) -> None:
    """The name of a field is shortened; a whole one could echo half a megabyte."""
    assert_problem(post(read_only_system, case.raw), case.status, case.kind)


def test_at_most_twenty_errors_are_named_and_the_rest_counted(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    body = assert_problem(post(read_only_system, data("[" + "true," * 99 + "true]")), 422, "invalid-body")
    assert [error["field"] for error in body["errors"]] == [f"data.{n}" for n in range(20)]
    assert "99 more" in body["detail"]


def test_every_problem_of_a_body_is_in_the_document(read_only_system: System) -> None:
    expected = {(str(case.status), case.kind) for case in SUBMISSIONS + ALONE}
    expected |= {
        ("413", "body-too-large"),
        ("415", "unsupported-media-type"),
        ("408", "body-timeout"),
        ("503", "store-unavailable"),
        ("503", "overloaded"),
    }
    paths = read_only_system.client.get("/openapi.json").json()["paths"]
    for path in ("/jobs/", "/jobs/batch"):
        responses = paths[path]["post"]["responses"]
        documented = {
            (status, kind)
            for status, response in responses.items()
            for kind in response["content"].get("application/problem+json", {}).get("examples", {})
        }
        assert expected <= documented

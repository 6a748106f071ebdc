"""Request bodies: read within limits, parsed strictly; every failure is a problem."""

import asyncio
import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from api.web.problems import ProblemError
from api.web.request_body import RequestBodies
from common.settings import Settings

LIMITS = Settings(max_body_bytes=1_000, body_timeout_seconds=0.05)


async def read_json(request: Request, settings: Settings, *, optional: bool = False) -> Any:
    async with RequestBodies(settings).json(request, optional=optional) as value:
        return value


class Sender:
    """The ASGI `receive` of a request: its parts in order, then silence, the end or a disconnect."""

    def __init__(self, parts: Iterable[bytes], then: str = "end") -> None:
        self.parts = list(parts)
        self.received = 0
        self.then = then

    async def __call__(self) -> dict[str, Any]:
        if self.received < len(self.parts):
            self.received += 1
            return {
                "type": "http.request",
                "body": self.parts[self.received - 1],
                "more_body": self.then != "end" or self.received < len(self.parts),
            }
        if self.then == "disconnect":
            return {"type": "http.disconnect"}
        if self.then == "silence":
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": False}


def read(
    *parts: bytes, then: str = "end", media: str = "application/json", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> tuple[Any, Sender]:
    """Return a body read from these parts, and their sender."""
    sender = Sender(parts, then)
    request = Request(
        {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", media.encode()), *headers]},
        sender,
    )
    return asyncio.run(read_json(request, LIMITS)), sender


def problem(*parts: bytes, **options: Any) -> tuple[str, Sender]:
    """Return the kind of the problem that reading these parts raises, and their sender."""
    sender = Sender(parts, options.get("then", "end"))
    headers = [(b"content-type", options.get("media", "application/json").encode()), *options.get("headers", ())]
    with pytest.raises(ProblemError) as caught:
        asyncio.run(
            read_json(Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, sender), LIMITS)
        )
    return caught.value.kind.name, sender


def test_the_parts_of_a_body_are_joined() -> None:
    assert read(b'{"da', b"", b'ta": [1', b", 2]}")[0] == {"data": [1, 2]}


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert read(b"1".rjust(1_000))[0] == 1
    assert problem(b"1".rjust(1_001))[0] == "body-too-large"


def test_reading_stops_at_the_part_that_exceeds_the_limit() -> None:
    kind, sender = problem(*[b" " * 300] * 100)
    assert (kind, sender.received) == ("body-too-large", 4)


def test_a_body_with_a_content_length_above_the_limit_is_not_read() -> None:
    for length in (b"1001", b"9" * 30):
        kind, sender = problem(b"1", headers=((b"content-length", length),))
        assert (kind, sender.received) == ("body-too-large", 0)


def test_a_content_length_that_is_no_number_is_ignored() -> None:
    """The server checks the length itself. A superscript two is a digit to Python, but no number."""
    for length in (b"", b"-5", b"1e9", "²".encode("latin-1")):
        assert read(b"1", headers=((b"content-length", length),))[0] == 1


def test_a_body_of_another_media_type_is_not_read() -> None:
    for media in ("text/plain", "application/json-patch", "", "application/x-json; charset=application/json"):
        kind, sender = problem(b"1", media=media)
        assert (kind, sender.received) == ("unsupported-media-type", 0)
    for media in ("application/json", "application/json;charset=utf-8", "APPLICATION/JSON ; x=y"):
        assert read(b"1", media=media)[0] == 1


def test_reading_an_incomplete_body_times_out() -> None:
    assert problem(b'{"data":', then="silence")[0] == "body-timeout"
    assert problem(then="silence")[0] == "body-timeout"


def test_a_disconnect_is_an_error_of_the_client() -> None:
    assert problem(b'{"data":[1]}', then="disconnect")[0] == "malformed-json"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_numbers_that_are_not_finite_are_parsed_for_the_rules_of_their_field(text: str) -> None:
    """The problem then names the field, as `invalid-body` instead of `malformed-json`."""
    assert not math.isfinite(read(f"[{text}]".encode())[0][0])


def test_integers_are_read_exactly_or_refused_as_an_invalid_body() -> None:
    for value in (2**53 + 1, 2**63, 2**64 + 1, -(10**400)):
        assert read(str(value).encode())[0] == value
    with pytest.raises(ProblemError) as caught:
        asyncio.run(
            read_json(
                Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, Sender([b"9" * 5_000])),
                Settings(),
            )
        )
    assert caught.value.kind.name == "invalid-body"


@given(st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_parsed_or_raise_a_problem(raw: bytes) -> None:
    try:
        read(raw)
        kind = None
    except ProblemError as error:
        kind = error.kind.name
    assert kind in {None, "malformed-json", "invalid-body"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
@settings(max_examples=500, deadline=None)
def test_every_json_value_is_parsed_unchanged(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    if len(raw) <= LIMITS.max_body_bytes:
        parsed = read(raw[: len(raw) // 2], raw[len(raw) // 2 :])[0]
        assert json.dumps(parsed) == json.dumps(value), "the same values, types and order"


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=5))
@settings(deadline=None)
def test_a_duplicate_key_is_refused_at_any_depth(names: list[str]) -> None:
    raw = ('[{"x":{' + ",".join(f'"{name}":1' for name in names) + "}}]").encode()
    if len(set(names)) == len(names):
        assert read(raw)[0] == [{"x": dict.fromkeys(names, 1)}]
    else:
        assert problem(raw)[0] == "malformed-json"


# --- large bodies


def request_of(raw: bytes) -> Request:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, Sender([raw]))


@given(values, st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_a_body_may_have_as_many_arrays_and_objects_as_the_limit_wherever_texts_have_brackets(
    value: Any, limit: int
) -> None:
    raw = json.dumps([value, '[{"\\', "\\[", {"[": "{}"}], ensure_ascii=False).encode()
    count = _containers(value) + 2
    limits = Settings(max_body_containers=max(limit, 1))
    if count <= limits.max_body_containers or len(raw) <= limits.max_body_containers:
        assert asyncio.run(read_json(request_of(raw), limits))[0] == value
    else:
        with pytest.raises(ProblemError, match=f"has {count} arrays and objects, more than {max(limit, 1)}"):
            asyncio.run(read_json(request_of(raw), limits))


def _containers(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return 1 + sum(map(_containers, value.values() if isinstance(value, dict) else value))
    return 0


def test_large_bodies_take_turns_in_their_order_and_small_ones_do_not_wait() -> None:
    bodies = RequestBodies(Settings(large_body_bytes=100, large_body_concurrency=2))
    held: list[int] = []
    done: list[int] = []

    async def hold(number: int, ended: asyncio.Event) -> None:
        async with bodies.json(request_of(b"1".rjust(100))):
            held.append(number)
            await ended.wait()
        done.append(number)

    async def until_held(count: int) -> None:
        async with asyncio.timeout(10):
            while len(held) < count:  # noqa: ASYNC110 - the order of the turns is tested, turn by turn
                await asyncio.sleep(0)

    async def work() -> None:
        ends = [asyncio.Event() for _ in range(5)]
        tasks = [asyncio.create_task(hold(number, end)) for number, end in enumerate(ends)]
        await until_held(2)
        for first in range(3):
            async with bodies.json(request_of(b"1")) as value:
                assert value == 1
            assert held == list(range(first + 2)), "no more than two at a time"
            ends[first].set()
            await until_held(first + 3)
        ends[3].set()
        ends[4].set()
        await asyncio.gather(*tasks)

    asyncio.run(work())
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"large_bodies_waiting": 1}, "1 large bodies wait already"),
        ({"large_body_wait_seconds": 0.05}, "waited for its turn for 0.05 s"),
    ],
)
def test_a_large_body_gets_503_if_too_many_wait_or_its_turn_does_not_come(limits: dict[str, Any], reason: str) -> None:
    bodies = RequestBodies(Settings(large_body_bytes=100, large_body_concurrency=1, **limits))

    async def read_one() -> Any:
        async with bodies.json(request_of(b"1".rjust(100))) as value:
            return value

    async def work() -> None:
        async with bodies.json(request_of(b"1".rjust(100))):
            others = [asyncio.create_task(read_one()) for _ in range(2)]
            refused = (await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED))[0].pop().exception()
            assert isinstance(refused, ProblemError)
            assert refused.kind.name == "overloaded"
            assert reason in refused.detail
            assert refused.response().headers["Retry-After"] == "1"
        await asyncio.gather(*others, return_exceptions=True)
        assert await read_one() == 1, "refused bodies leave the turns free"

    asyncio.run(work())


@pytest.mark.parametrize("raw", [b"[".ljust(100), b'{"a":1,"a":2}'.ljust(100)])
def test_a_turn_ends_with_a_large_body_that_is_refused(raw: bytes) -> None:
    bodies = RequestBodies(Settings(large_body_bytes=100, large_body_concurrency=1))

    async def work() -> None:
        for _ in range(3):
            with pytest.raises(ProblemError):
                async with asyncio.timeout(5), bodies.json(request_of(raw)):
                    raise AssertionError("malformed")

    asyncio.run(work())

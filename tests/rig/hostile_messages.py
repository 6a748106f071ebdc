"""Texts that somebody with write access to Redis could put into the list of a queue."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from common.broker.doorbells import DoorbellMessage, celery_message

QUEUE = "default"
RING_ID, TAG = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def _nested(depth: int) -> Any:
    value: Any = None
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


#: Values of every JSON type; none is a UUID. Kombu makes other types of those with `__type__`, or raises.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 10**300, 1.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "x" * 500, "\x00", "ü", "\ud800", "\u202e", "a\nb", "*", "../..", "{}", "null", "jobproc.serve"),
    *(RING_ID[:-1], RING_ID + "1", RING_ID + "\n", RING_ID.replace("1", "A"), RING_ID.replace("1", "\u0661"), "0" * 36),
    *([], ["x"], [[]], [None, None], {}, {"a": 1}, {"": {}}, _nested(30), _nested(200)),
    *({"__type__": kind, "__value__": 7} for kind in ("bytes", "base64", "datetime", "decimal", "uuid", "unknown")),
    *({"__type__": "uuid", "__value__": {"hex": RING_ID}}, {"__type__": "bytes", "__value__": RING_ID}),
    *({"__type__": ["x"], "__value__": 7}, {"__type__": "decimal", "__value__": "x"}),
]


def doorbell() -> dict[str, Any]:
    """Return a doorbell, always the same."""
    return celery_message(QUEUE, RING_ID, TAG)


def forged(count: int) -> list[str]:
    """Return doorbells as workers and API processes ring them, for which no job was stored."""
    message = DoorbellMessage(QUEUE)
    return [message.text() for _ in range(count)]


def huge() -> bytes:
    """Return 30 MB of JSON, which take the parser seconds."""
    return b"[" + b"[]," * 10_000_000 + b"[]]"


def with_hostile_ids() -> Iterator[bytes]:
    """Yield doorbells that are right but for the value of their id, or of their delivery tag."""
    for value in VALUES:
        yield json.dumps(celery_message(QUEUE, value, TAG)).encode()
        yield json.dumps(celery_message(QUEUE, RING_ID, value)).encode()


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` mutated doorbells, one to three mutations each. The same seed yields the same ones."""
    chance = random.Random(seed)
    for _ in range(count):
        if chance.random() < 0.6:
            message = doorbell()
            for _ in range(chance.choice((1, 1, 2, 3))):
                message = chance.choice(_OF_MESSAGES)(message, chance)
            yield json.dumps(message).encode()
        else:
            text = json.dumps(doorbell()).encode()
            for _ in range(chance.choice((1, 1, 2, 3))):
                text = chance.choice(_OF_TEXTS)(text, chance)
            yield text


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, field in value.items():
            yield (*path, name)
            yield from _paths(field, (*path, name))


def _object_and_field(message: Any, chance: random.Random) -> tuple[dict[str, Any], str]:
    """Return any field of a message, and the object that has it. The latter is new if the message has no fields."""
    paths = list(_paths(message))
    if not paths:
        return {}, "x"
    *parents, name = chance.choice(paths)
    for parent in parents:
        message = message[parent]
    return message, name


def _replace(message: Any, chance: random.Random) -> Any:
    owner, name = _object_and_field(message, chance)
    owner[name] = copy.deepcopy(chance.choice(VALUES))
    return message


def _replace_equal_ids(message: Any, chance: random.Random) -> Any:
    """Replace all occurrences of an id by one value, so that only its form is wrong."""
    old, new = chance.choice((RING_ID, TAG)), json.dumps(chance.choice(VALUES))
    return json.loads(json.dumps(message).replace(json.dumps(old), new))


def _remove(message: Any, chance: random.Random) -> Any:
    owner, name = _object_and_field(message, chance)
    owner.pop(name, None)
    return message


def _add(message: Any, chance: random.Random) -> Any:
    owner, _ = _object_and_field(message, chance)
    name = chance.choice(("compression", "chord", "redelivered", "__type__", "", "\x00", "x" * 300))
    owner[name] = copy.deepcopy(chance.choice(VALUES))
    return message


def _exchange(message: Any, chance: random.Random) -> Any:
    """Give a field the value of another one."""
    owner, name = _object_and_field(message, chance)
    other, other_name = _object_and_field(message, chance)
    owner[name] = copy.deepcopy(other.get(other_name))
    return message


def _wrap(message: Any, chance: random.Random) -> Any:
    return chance.choice(([message], {"body": message}, {"headers": message}, json.dumps(message)))


def _truncate(text: bytes, chance: random.Random) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _flip(text: bytes, chance: random.Random) -> bytes:
    if not text:
        return text
    at = chance.randrange(len(text))
    return text[:at] + bytes([text[at] ^ (1 << chance.randrange(8))]) + text[at + 1 :]


def _insert(text: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text) + 1)
    piece = chance.choice(
        (b"\x00", b"\xff", b"\xef\xbb\xbf", b"{}", b"[" * 1_500, b"[]," * 2_000, b'{"a":' * 300, b"9" * 5_000)
    )
    return text[:at] + piece + text[at:]


def _repeat(text: bytes, chance: random.Random) -> bytes:
    """Repeat a part, which also makes messages that have a field twice."""
    begin, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return text[:end] + text[begin:end] + text[end:]


def _twice(text: bytes, chance: random.Random) -> bytes:
    """Put a field with any value before the one of the same name. JSON parsers use the last of the two."""
    name = chance.choice(("headers", "properties", "body"))
    return b"{" + json.dumps(name).encode() + b":" + json.dumps(chance.choice(VALUES)).encode() + b"," + text[1:]


def _random(text: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(len(text) + 10))


_OF_MESSAGES: list[Callable[[Any, random.Random], Any]] = [
    _replace, _replace, _replace_equal_ids, _remove, _add, _exchange, _wrap,
]  # fmt: skip
_OF_TEXTS: list[Callable[[bytes, random.Random], bytes]] = [_truncate, _flip, _insert, _repeat, _twice, _random]

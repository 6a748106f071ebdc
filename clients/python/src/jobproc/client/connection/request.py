"""Requests of the API as values, without I/O: one says all that is sent, and reads its response."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from jobproc.submission import json_of

T = TypeVar("T")
Query = Mapping[str, Any]
JSON_HEADERS = {"Content-Type": "application/json"}
IDEMPOTENCY_KEY = "Idempotency-Key"
REPEATED = frozenset({"input", "metadata"})  # parameters whose values may have commas


@dataclass(frozen=True, slots=True)
class Response:
    """A response of HTTP: its status, its header with names in lower case, and its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """Return the body as the values of its JSON text. Raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A request of the API."""

    method: str
    path: str  #: behind the base URL, percent-encoded
    read: Callable[[Response], T]  #: turns a response of success into the value of the call
    query: Query = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True  #: it may be sent again if it is unknown whether it arrived
    wait_s: float = 0.0  #: how long the API may hold it back

    @property
    def target(self) -> str:
        """The path and the query."""
        query = encoded_query(self.query)
        return f"{self.path}?{query}" if query else self.path


def get(path: str, read: Callable[[Response], T], wait_s: float = 0.0, **query: Any) -> Request[T]:
    """Return a request that reads."""
    return Request("GET", path, read, query={**query, "wait": wait_s} if wait_s else query, wait_s=wait_s)


def post(  # noqa: PLR0913 - each may be left out
    path: str,
    read: Callable[[Response], T],
    body: object = None,
    *,
    key: str | None = None,
    repeatable: bool = False,
    query: Query | None = None,
    wait_s: float = 0.0,
) -> Request[T]:
    """Return a request that makes or changes something; one with an idempotency key may be repeated."""
    text = None if body is None else json_of(body, "the body").encode()
    headers = {**(JSON_HEADERS if text is not None else {}), **({IDEMPOTENCY_KEY: key} if key else {})}
    query = {**(query or {}), "wait": wait_s} if wait_s else query or {}
    return Request(
        "POST",
        path,
        read,
        query=query,
        body=text,
        headers=headers,
        is_repeatable=repeatable or key is not None,
        wait_s=wait_s,
    )


def change(method: str, path: str, read: Callable[[Response], T], body: object, if_match: str | None) -> Request[T]:
    """Return a request that changes or deletes a resource as a whole, which may be repeated."""
    text = None if body is None else json_of(body, "the body").encode()
    headers = {**(JSON_HEADERS if text is not None else {}), **({"If-Match": if_match} if if_match else {})}
    return Request(method, path, read, body=text, headers=headers)


def segment(value: object) -> str:
    """Return an id or a name as a segment of a path."""
    return quote(str(value), safe="")


def encoded_query(query: Query) -> str:
    """Return a query as text: None is left out, several values are separated by commas, or repeat the parameter."""
    given = {name: value for name, value in query.items() if value is not None}
    repeated = [(name, _text(item)) for name in given.keys() & REPEATED for item in _items(given[name])]
    return urlencode([(name, _text(given[name])) for name in given if name not in REPEATED] + sorted(repeated))


def _items(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, str) else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(_text, value))
    return str(value)

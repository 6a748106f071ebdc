"""Requests that a hostile client could send: any route, with values of every kind at every place."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from common.domain.tenancy.scopes import Scope
from hostile.callers import Caller, Callers

TEXTS = [
    *(
        "",
        " ",
        "x",
        "x" * 65,
        "x" * 5_000,
        "\x00",
        "a\x00b",
        "\r\nX-Injected: 1",
        "\x1b[31m",
        "ü",
        "\U0001f4a5",
        "\u202e",
    ),
    *("'; DROP TABLE jobs; --", "%00", "%s%s%n", "{0}", "${jndi:ldap://x}", "../../etc/passwd", "<script>", "\ufeff"),
    *("null", "NaN", "0", "-1", "1e400", "true", "[]", "*", "\ud800", "default", "A" * 200),
]
NUMBERS: list[Any] = [0, -0.0, 1, -1, 0.1, 2**31, 2**53 + 1, 2**63, 10**30, 1e308, 5e-324, 1e-400, 1.5, 10**400]
STORABLE_NUMBERS = [0, 1, -1, 0.1, 2**31, 2**53 + 1, 1e308, 5e-324, 1.5]
VALUES: list[Any] = [*TEXTS, *NUMBERS, None, True, False, [], {}, [[]], {"a": {}}, {"": None}, {"__proto__": 1}]
RAW = [
    *(
        b"",
        b" ",
        b"{",
        b"[",
        b"]",
        b"null",
        b'"',
        b"{}",
        b"[]",
        b"[{}]",
        b"[[[[[[[[[[",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
    ),
    *(b'{"data":[NaN],"operation":"noop"}', b'{"data":[1e400],"operation":"noop"}', b'{"a":1,"a":2}', b"\x00" * 100),
    *(b'{"operation":"noop","operation":"noop","data":[1]}', b'{"data":[1],"operation":"\\ud800"}', b"[" * 50_000),
    *(
        b'{"data":[1],"operation":"noop"}garbage',
        b"{'data':[1]}",
        b'{"data":[1,],"operation":"noop"}',
        b"\x1f\x8b\x08\x00",
    ),
]
_FIELDS: dict[str, list[Any]] = {
    "priority": [0, 9, 10, -1, "5", 1.0],
    "delay_seconds": [0, 0.001, 1e308, -1, "1", 3_600],
    "run_at": ["2026-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2026-02-30", 0, "now"],
    "deadline": ["2099-01-01T00:00:00Z", "2020-01-01T00:00:00+14:00", "\x00", 1e9],
    "timeout_seconds": [0.001, 1e9, 0, -1, 30],
    "max_attempts": [1, 0, 1000, 1001, 2**63],
    "keep_seconds": [600, 0, 2**40, 1.5],
    "tags": [[], ["a"], ["a"] * 21, ["ü", "a"], ["\x00"], [""], [1], "a", ["a" * 65]],
    "metadata": [{}, {"a": {"b": [1, None]}}, {"a": "\x00"}, {"x": "y" * 5_000}, [], "x", {"ü": 1}],
    "backoff": [{"base_seconds": 1, "cap_seconds": 2}, {"base_seconds": -1}, {}, 1],
    "unique": [
        {"key": "a"},
        {"key": "a", "while": "running"},
        {"key": "\x00"},
        {"key": "a", "on_conflict": "return"},
        {},
    ],
}
_UUIDS = [
    "019f0000-0000-7000-8000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0" * 36,
    "x",
    "%00",
    "1",
    "{}",
]
_GETS = ["", "/status", "/result", "/explain", "/result?wait=0", "/status?wait=-1", "/input", "/nothing"]
_QUERIES = ["status", "operation", "queue", "tag", "error", "created_after", "cursor", "limit", "order", "zzz", "wait"]
_PAYLOADS = {"/result", "/result?wait=0", "/input"}  # those of _GETS that need the scope jobs:payload
_ACCESS: list[tuple[str, str, Scope]] = [
    ("GET", "/keys", Scope.KEYS),
    ("POST", "/keys", Scope.KEYS),
    ("POST", "/keys/AAAAAAAAAAAA/rotate", Scope.KEYS),
    ("GET", "/audit", Scope.AUDIT),
    ("GET", "/tenants", Scope.ADMIN),
    ("POST", "/tenants", Scope.ADMIN),
    ("POST", "/tenants/hostile/suspend", Scope.ADMIN),
]
REFUSED_TAG = "refused"  # of jobs that their senders may not submit
_PATHS = [
    "/stats",
    "/operations",
    "/livez",
    "/readyz",
    "/docs",
    "/docs/static/../app.py",
    "/docs/static/%2e%2e/x",
    "//",
    "*",
]
_METHODS = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "get", "X" * 40]
_HEADERS: list[tuple[bytes, bytes]] = [
    *(
        (b"Accept-Encoding", b"gzip"),
        (b"Accept", b"x"),
        (b"Idempotency-Key", b"a" * 300),
        (b"Idempotency-Key", b"\xff"),
    ),
    *(
        (b"X-Request-ID", b"a\x1b[31mb"),
        (b"traceparent", b"00-zz-1-1"),
        (b"If-None-Match", b'"' * 99),
        (b"Range", b"bytes=9-1"),
    ),
    *(
        (b"Content-Encoding", b"gzip"),
        (b"Last-Event-ID", b"-1"),
        (b"Cookie", b"a" * 4_000),
        (b"Expect", b"100-continue"),
    ),
    *(
        (b"Origin", b"null"),
        (b"Host", b"\x80"),
        (b"X-Forwarded-For", b"::1, 1.2.3.4"),
        (b"Connection", b"Upgrade, HTTP2-Settings"),
    ),
    *((b"Jobproc-Tenant", b"default"), (b"Jobproc-Tenant", b"hostile"), (b"Jobproc-Tenant", b"\xff")),
    *((b"Upgrade", b"h2c"), (b"Content-Type", b"text/plain"), (b"Content-Type", b'application/json; charset="utf-16"')),
]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and what it submits: None for a request that is no well-formed submission of one job."""

    method: str
    target: str
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    submission: dict[str, Any] | None = None
    scope: Scope | None = None  #: that it needs; None: any or none, such as where there is no such path
    caller: Caller = field(default_factory=lambda: Caller("none"))

    def raw(self) -> bytes:
        """Return the bytes of the request."""
        head = [f"{self.method} {self.target} HTTP/1.1".encode()]
        lines = [(b"Host", b"localhost"), (b"Content-Length", b"%d" % len(self.body))]
        lines += [*self.caller.headers, *self.headers]
        if self.body and not any(name == b"Content-Type" for name, _ in self.headers):
            lines.append((b"Content-Type", b"application/json"))
        return b"\r\n".join([*head, *(name + b": " + value for name, value in lines), b"", self.body])


class Requests:
    """A seeded source of requests. The same seed makes the same ones, as long as the same ids are accepted."""

    def __init__(self, chance: random.Random, callers: Callers) -> None:
        self._chance, self._callers = chance, callers
        self._caller = callers.next(chance)  # of the next request
        self.job_ids = list(_UUIDS)  #: of which requests choose; ids of accepted jobs are added
        self._kinds: list[tuple[Callable[[], Request], int]] = [
            (self._submission, 8),
            (self._raw_body, 3),
            (self._batch, 2),
            (self._read, 4),
            (self._list, 3),
            (self._change, 3),
            (self._bulk_action, 1),
            (self._access, 1),
            (self._any_path, 2),
        ]

    def next(self) -> Request:
        """Return the next request."""
        kinds, weights = zip(*self._kinds, strict=True)
        self._caller = self._callers.next(self._chance)
        made: Request = self._chance.choices(kinds, weights)[0]()
        request = replace(made, caller=self._caller)
        if self._chance.random() < 0.25:
            more = self._chance.sample(_HEADERS, self._chance.randint(1, 3))
            request = replace(request, headers=more, submission=None)
        return request

    def accepted(self, job_id: str) -> None:
        """Let later requests ask for a job."""
        self.job_ids.append(job_id)

    def _value(self) -> Any:
        value = self._chance.choice(VALUES)
        return [value, self._chance.choice(VALUES)] if self._chance.random() < 0.2 else value

    def _body(self) -> dict[str, Any]:
        chance = self._chance
        numbers = [chance.choice(STORABLE_NUMBERS) for _ in range(chance.choice((1, 1, 3, 100)))]
        body: dict[str, Any] = {"operation": chance.choice(("noop", "noop", "square_sum", "greet"))}
        if body["operation"] == "greet":
            body["input"] = {"name": chance.choice(TEXTS), "times": chance.choice((0, 1, 2))}
        else:
            body["data"] = numbers
        for name in chance.sample(list(_FIELDS), chance.choice((0, 0, 1, 2))):
            body[name] = chance.choice(_FIELDS[name])
        return body

    def _hostile_body(self) -> dict[str, Any]:
        body = self._body()
        for _ in range(self._chance.choice((0, 0, 0, 1, 2))):
            body[self._chance.choice([*body, "zzz", ""])] = self._value()
        return body if self._caller.may_submit else {**body, "tags": [REFUSED_TAG]}

    def _submission(self) -> Request:
        body = self._hostile_body()
        return Request("POST", "/jobs/", _json(body), submission=body, scope=Scope.JOBS_WRITE)

    def _raw_body(self) -> Request:
        target = self._chance.choice(("/jobs/", "/jobs", "/jobs/batch", "/bulk-actions", f"/jobs/{self._id()}/retry"))
        return Request("POST", target, self._chance.choice(RAW))

    def _batch(self) -> Request:
        bodies = [self._hostile_body() for _ in range(self._chance.choice((0, 1, 2, 50)))]
        body = self._chance.choice((bodies, bodies, {"jobs": bodies}))
        return Request("POST", "/jobs/batch", _json(body), scope=Scope.JOBS_WRITE)

    def _id(self) -> str:
        return self._chance.choice(self.job_ids)

    def _read(self) -> Request:
        method, what = self._chance.choice(("GET", "GET", "HEAD")), self._chance.choice(_GETS)
        scope = Scope.JOBS_PAYLOAD if what in _PAYLOADS else None if what == "/nothing" else Scope.JOBS_READ
        return Request(method, f"/jobs/{self._id()}{what}", scope=scope)

    def _list(self) -> Request:
        names = self._chance.sample(_QUERIES, self._chance.choice((0, 1, 2)))
        pairs = [f"{name}={quote(_text(self._value()), errors='surrogatepass')}" for name in names]
        return Request("GET", "/jobs?" + "&".join(pairs), scope=Scope.JOBS_READ)

    def _change(self) -> Request:
        body = self._chance.choice((b"", b"{}", _json({"data": [self._value()]}), _json({"input": self._value()})))
        change, scope = self._chance.choice((("cancel", Scope.JOBS_CANCEL), ("retry", Scope.JOBS_WRITE)))
        return Request("POST", f"/jobs/{self._id()}/{change}", body, scope=scope)

    def _bulk_action(self) -> Request:
        body = {"kind": self._chance.choice(("cancel", "retry", "reprioritise", "zzz")), "tag": self._value()}
        body[self._chance.choice(("rate", "priority", "status", "all"))] = self._value()
        return Request("POST", "/bulk-actions", _json(body), scope=Scope.BULK)

    def _access(self) -> Request:
        method, path, scope = self._chance.choice(_ACCESS)
        body = {"name": self._chance.choice(TEXTS), "scopes": ["jobs:read"]} if method == "POST" else None
        return Request(method, path, b"" if body is None else _json(body), scope=scope)

    def _any_path(self) -> Request:
        path = self._chance.choice((*_PATHS, "/" + quote(self._chance.choice(TEXTS), errors="surrogatepass")))
        return Request(self._chance.choice(_METHODS), path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value).decode()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()

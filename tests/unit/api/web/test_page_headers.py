"""The header fields that pages of other origins may send and read, compared with those that the code names."""

import ast
from pathlib import Path

import pytest

from api.telemetry.middleware import join_lines
from api.web.browser_guard import PAGE_REQUEST_HEADERS, PAGE_RESPONSE_HEADERS

API = Path(__file__).resolve().parents[4] / "api"
#: Names of fields in use, in lower case; others begin with `x-`.
_NAMES = (
    "accept accept-encoding accept-language accept-ranges age allow authorization baggage cache-control "
    "connection content-disposition content-encoding content-language content-length content-location "
    "content-range content-security-policy content-type cookie cross-origin-resource-policy date deprecation "
    "digest etag expect expires forwarded from host idempotency-key idempotency-replayed if-match "
    "if-modified-since if-none-match if-unmodified-since keep-alive last-event-id last-modified link location "
    "max-forwards origin prefer preference-applied priority range referer referrer-policy retry-after "
    "sec-fetch-dest sec-fetch-mode sec-fetch-site server server-timing set-cookie strict-transport-security "
    "sunset te traceparent tracestate trailer transfer-encoding upgrade user-agent vary via warning "
    "www-authenticate"
)
FIELDS = frozenset(_NAMES.split())
#: Fields that a page neither sets nor needs, by reason.
BROWSERS_SET = {
    *("accept-encoding", "content-length", "cookie", "host", "origin", "sec-fetch-site", "transfer-encoding", "upgrade")
}
#: Of requests to the OpenID provider.
TO_OTHERS = {"accept", "user-agent"}
PROXIES_SET = {"forwarded", "x-forwarded-for", "x-forwarded-prefix", "x-accel-buffering"}
BIND_BROWSERS = {
    "content-security-policy",
    "cross-origin-resource-policy",
    "referrer-policy",
    "set-cookie",
    "x-content-type-options",
    "x-frame-options",
}
#: Sent, and either readable without a list (Fetch, "CORS-safelisted response-header name") or of no use to a page.
ALWAYS_READABLE = {"cache-control", "content-type"}
OF_THE_CONNECTION = {"connection", "content-encoding"}
#: Of the cache of a browser, for the files of the documentation site.
OF_CACHES = {"if-none-match", "vary"}
#: Fields whose names are words of the code too; none of them is used.
WORDS = {"date", "server", "priority", "from", "upgrade", "warning"}
OTHERS = TO_OTHERS | BROWSERS_SET | PROXIES_SET | BIND_BROWSERS | ALWAYS_READABLE | OF_THE_CONNECTION | OF_CACHES


def _named() -> set[str]:
    """Return the fields that literals of the API's code name, except in the documents of its headers."""
    found = set()
    for path in API.rglob("*.py"):
        if path.name in ("examples.py", "links.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = (node.value if isinstance(node.value, str) else node.value.decode("latin-1")).lower()
                if text in FIELDS or text.startswith("x-"):
                    found.add(text)
    return found - WORDS


def test_pages_may_send_and_read_every_field_that_the_code_names() -> None:
    named = _named()
    assert len(named) > 20
    listed = {name.lower() for name in (*PAGE_REQUEST_HEADERS, *PAGE_RESPONSE_HEADERS)}
    assert not named - listed - OTHERS, "add them to a list of api/web/browser_guard.py, or here with the reason"


@pytest.mark.parametrize("fields", [PAGE_REQUEST_HEADERS, PAGE_RESPONSE_HEADERS])
def test_each_field_is_listed_once_in_order(fields: tuple[str, ...]) -> None:
    assert list(fields) == sorted(set(fields), key=lambda name: (not name[0].isupper(), name))


def test_lines_of_a_field_are_joined_in_their_order() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"x"), (b"a", b"2, 3"), (b"a", b"")]}
    assert join_lines(scope) == dict(scope["headers"]) == {b"a": b"1, 2, 3, ", b"b": b"x"}

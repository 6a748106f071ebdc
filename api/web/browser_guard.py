"""Guard against web pages: the hosts and origins that requests may have, and response headers that bind browsers.

A page on the internet can make the browser of a developer send requests to an API on that developer's machine or
network. It cannot remove the browser's Origin and Sec-Fetch-Site headers. By DNS rebinding, which points the page's own
name at the API's address, it becomes an origin of the API; but then its name is in the Host header.
"""

import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from functools import lru_cache

from api.web.problem_kinds import HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED
from api.web.problems import ProblemError

#: Headers of every response: browsers do not guess its type, frame it, load it into pages of other origins (CORS still
#: may), or send its URL to them.
RESPONSE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: Request headers that pages of other origins may send: all that a route reads, and those that clients add on the way
#: to it, such as to a proxy that checks Authorization.
PAGE_REQUEST_HEADERS = (
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Jobproc-Tenant",
    "Last-Event-ID",
    "X-Request-ID",
    "traceparent",
    "tracestate",
)
#: Response headers that these pages may read: all that the API sends but those that bind browsers and connections.
PAGE_RESPONSE_HEADERS = (
    "Allow",
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "WWW-Authenticate",
    "X-Request-ID",
)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES = frozenset({b"same-origin", b"none"})  # none: no page, but the user
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:,\[\]]*)(:\d*)?")  # a comma: several lines
_MAX_HOST_BYTES = 261  # a name of 253 characters, a final dot, and a port
_CACHED_HOSTS = 256
#: Domains in which nobody can register a name. A name without a dot cannot be registered either.
_PRIVATE_DOMAINS = (".localhost", ".internal")
_ALL = "*"


class BrowserGuard:
    """Decides whether a request may come from the page that sent it. Takes 0.5 µs."""

    def __init__(self, origins: Collection[str], hosts: Collection[str]) -> None:
        """`origins`: those of other pages that may change state. `hosts`: names of the API; `*` allows every one."""
        self._origins = frozenset(origin.encode() for origin in origins)
        self._allows_every_origin = _ALL in origins
        self._names = frozenset(hosts) | {socket.gethostname().lower()}
        self._domains = (*_PRIVATE_DOMAINS, *(host[1:] for host in hosts if host.startswith("*.")))
        self._is_own_host = lru_cache(_CACHED_HOSTS)(self._decide_host)

    def refusal(self, method: str, headers: Mapping[bytes, bytes]) -> ProblemError | None:
        """Return the problem of a request, None if it may pass. `headers`: its headers, names in lower case."""
        host = headers.get(b"host", b"")  # browsers always send it
        if len(host) > _MAX_HOST_BYTES or not self._is_own_host(host):
            return ProblemError(HOST_NOT_ALLOWED)
        if method not in _SAFE_METHODS and not self._may_change_state(host, headers):
            return ProblemError(ORIGIN_NOT_ALLOWED)
        return None

    def _decide_host(self, host: bytes) -> bool:
        if _ALL in self._names:
            return True
        form = _HOST.fullmatch(host.decode("latin-1").lower())
        if form is None:
            return False
        name = form["name"].removesuffix(".")
        return "." not in name or _is_address(name) or name in self._names or name.endswith(self._domains)

    def _may_change_state(self, host: bytes, headers: Mapping[bytes, bytes]) -> bool:
        site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
        if site in _OWN_SITES or (site is None and origin is None):  # without both: no browser
            return True
        if origin is None:
            return False
        if self._allows_every_origin or origin in self._origins:
            return True
        # Browsers send Sec-Fetch-Site only over https and to loopback addresses. Else the origin is compared.
        return site is None and origin.partition(b"://")[2].lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True

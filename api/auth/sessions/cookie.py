"""The cookie of a console session: HttpOnly, SameSite=Strict, and Secure but for plain http that may be read.

Over https its name begins with `__Host-`: so browsers accept it from this very host alone, over https, and no page of
a neighbouring domain can plant a session there. A path under which a proxy serves the API is part of the name, because
such a cookie has the path `/`: two installations on one host have cookies of their own.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import Message, Scope, Send

from api.limits.path_prefix import root_path
from api.web.problems import ProblemError
from api.web.resource_problem_kinds import SESSION_NEEDS_HTTPS
from common.server_urls.addresses import is_loopback
from common.settings import Settings

NAME = "jobproc_session"
SECURE_PREFIX = "__Host-"
CACHED_HOSTS = 256
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")
_Cookie = tuple[bytes, bytes]


def header(scope: Scope, wanted: bytes) -> bytes | None:
    """Return the first value of a header; None: the request does not have it."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == wanted:
            return value
    return None


def for_one_browser(send: Send) -> Send:
    """Return a `send` for a response that no cache may give to anybody else, or after the end of the session."""

    async def send_privately(message: Message) -> None:
        """Add the header, unless the response has one for caches."""
        if message["type"] == "http.response.start" and not any(
            name == b"cache-control" for name, _ in message["headers"]
        ):
            message["headers"] = [*message["headers"], (b"cache-control", b"private, no-cache")]
        await send(message)

    return send_privately


class SessionCookie:
    """Reads and writes the cookie of a kind, such as that of a session."""

    def __init__(self, settings: Settings, name: str = NAME, same_site: str = "Strict") -> None:
        self._is_insecure_allowed = settings.insecure_session_cookie
        self._name = name
        self._same_site = same_site

    def value(self, scope: Scope) -> str | None:
        """Return the value of the cookie in a request; None: there is none, or more than one of its name.

        The name without the prefix counts where browsers may use plain http: no https there could be bypassed by it.
        """
        cookies = header(scope, b"cookie")
        if cookies is None or self._name.encode() not in cookies:
            return None
        found = _parsed(cookies.decode("latin-1"))
        values = found.get(self._full_name(scope, is_secure=True))
        if values is None and self._may_be_insecure(scope):
            values = found.get(self._full_name(scope, is_secure=False))
        return values[0] if values is not None and len(values) == 1 else None

    def is_secure(self, scope: Scope) -> bool:
        """Return True if a request's browser uses https, as far as the request tells.

        Its Origin does, which browsers send with a POST; else the scheme, and the host, which is a loopback address
        where there is no https. Raises ProblemError if the browser uses plain http where others may read it.
        """
        origin = header(scope, b"origin")
        if origin is None or b"://" not in origin:
            return scope["scheme"] == "https" or not self._may_be_insecure(scope)
        scheme, _, host = origin.partition(b"://")
        if scheme == b"https":
            return True
        if not self._is_insecure_allowed and not _is_loopback_host(host):
            raise ProblemError(SESSION_NEEDS_HTTPS)
        return False

    def set(self, scope: Scope, value: str, max_age_s: float, *, is_secure: bool) -> _Cookie:
        """Return the header that sets the cookie for a number of seconds."""
        attributes = f"; Path=/; Max-Age={int(max_age_s)}; HttpOnly; SameSite={self._same_site}"
        secure = "; Secure" if is_secure else ""
        return b"set-cookie", f"{self._full_name(scope, is_secure=is_secure)}={value}{attributes}{secure}".encode()

    def clear(self, scope: Scope) -> list[_Cookie]:
        """Return the headers that remove the cookie, by each name that it may have."""
        headers = [self.set(scope, "", 0, is_secure=True)]
        if self._may_be_insecure(scope):
            headers.append(self.set(scope, "", 0, is_secure=False))
        return headers

    def _may_be_insecure(self, scope: Scope) -> bool:
        return self._is_insecure_allowed or _is_loopback_host(header(scope, b"host") or b"")

    def _full_name(self, scope: Scope, *, is_secure: bool) -> str:
        prefix = SECURE_PREFIX if is_secure else ""
        return f"{prefix}{self._name}{root_path(scope).replace('/', '!')}"


@lru_cache(CACHED_HOSTS)
def _is_loopback_host(host: bytes) -> bool:
    form = _HOST.fullmatch(host.decode("latin-1").lower())
    return form is not None and is_loopback(form[1].strip("[]"))


def _parsed(cookies: str) -> dict[str, list[str]]:
    """Return the values of each name in a Cookie header."""
    found: dict[str, list[str]] = {}
    for part in cookies.split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, []).append(value)
    return found

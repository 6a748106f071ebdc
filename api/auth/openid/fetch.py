"""Reads the JSON documents of an OpenID provider, each with a limit of time and size.

A thread and the standard library do: there are two documents in ten minutes, and one at each sign-in of a person. No
redirect is followed.
"""

import asyncio
import contextlib
import re
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import jiter

from common.domain.errors import StartupError
from common.server_urls.addresses import is_loopback
from common.settings.access.oidc import checked_url
from common.settings.field_types import name_of

MAX_DOCUMENT_BYTES = 262_144
_REFUSALS = (400, 401)
_CODE = re.compile(r"[a-z_]{1,64}")
_HEADERS = {"Accept": "application/json", "User-Agent": "jobproc"}


class FetchError(Exception):
    """A document could not be read. The message is for the log."""


class RequestRefused(FetchError):
    """The provider has refused a form (RFC 6749, 5.2). `code`: its error code; empty: it named none."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Form(NamedTuple):
    """A form that is sent to the provider."""

    body: bytes
    headers: dict[str, str]


class _WrongStatus(ValueError):
    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status, self.body = status, body


class Documents:
    """Reads documents, with the authorities that may certify their hosts."""

    def __init__(self, timeout_s: float, ca_file: str) -> None:
        """Raise StartupError if `ca_file` cannot be used; it is empty for the authorities of the system."""
        self._timeout_s = timeout_s
        self._tls = trusted(ca_file)

    async def read(self, url: str, form: Form | None = None) -> dict[str, Any]:
        """Return a JSON object, by GET; or as the answer to a form, by POST. Raises FetchError."""
        try:
            fetch = _Fetch(checked_url(url), self._timeout_s, self._tls, form)
        except ValueError as error:
            raise FetchError(f"{url}: the URL {error}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await asyncio.to_thread(fetch.run)
        except TimeoutError as error:
            raise FetchError(f"{url}: no document within {self._timeout_s:g} s") from error
        except _WrongStatus as error:
            if form is None or error.status not in _REFUSALS:
                raise FetchError(f"{url}: {error}") from error
            raise RequestRefused(f"{url}: {error}", _error_code(error.body)) from error
        except (OSError, HTTPException, ValueError) as error:
            raise FetchError(f"{url}: {error or type(error).__name__}") from error
        finally:
            fetch.end()
        try:
            return _object(body)
        except ValueError as error:
            raise FetchError(f"{url}: {error}") from error


def _object(body: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError."""
    try:
        document = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - as for other bodies that are no JSON object
    return document


def _error_code(body: bytes) -> str:
    """Return the error code in a refusal; empty: it has none."""
    try:
        code = _object(body).get("error")
    except ValueError:
        return ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def trusted(ca_file: str) -> ssl.SSLContext:
    """Return what trusts the authorities of a file, or if it is empty those of the system. Raises StartupError."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # of ssl too
        raise StartupError(f"{name_of('oidc_ca_file')}: cannot read {ca_file}: {error}") from error


class _Fetch:
    """One request, in a thread. `end` makes the thread return."""

    def __init__(self, url: str, timeout_s: float, tls: ssl.SSLContext, form: Form | None) -> None:
        self._url, self._form = url, form
        parts = urlsplit(url)
        assert parts.hostname is not None  # noqa: S101 - a checked URL has one
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = None if is_loopback(parts.hostname) or proxy_bypass(parts.hostname) else getproxies().get(parts.scheme)
        host, port = parts.hostname, parts.port
        if proxy:
            through = urlsplit(proxy if "//" in proxy else f"//{proxy}")
            host, port = through.hostname or "", through.port or 80
        self._connection = (
            HTTPSConnection(host, port, timeout=timeout_s, context=tls)
            if parts.scheme == "https"
            else HTTPConnection(host, port, timeout=timeout_s)
        )
        if proxy:
            self._connection.set_tunnel(parts.hostname, parts.port or 443)
        self._socket: socket.socket | None = None
        self._has_ended = False

    def run(self) -> bytes:
        """Return the body. Raises OSError, HTTPException or ValueError."""
        try:
            self._connection.connect()
            self._socket = self._connection.sock  # a response that ends the connection takes it from there
            if self._has_ended:
                raise TimeoutError
            if self._form is None:
                self._connection.request("GET", self._target, headers=_HEADERS)
            else:
                self._connection.request("POST", self._target, self._form.body, {**_HEADERS, **self._form.headers})
            response = self._connection.getresponse()
            body = response.read(MAX_DOCUMENT_BYTES + 1)
            if response.status != 200:  # noqa: PLR2004 - OK
                raise _WrongStatus(response.status, body)
            if len(body) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"more than {MAX_DOCUMENT_BYTES} bytes")
            if response.length:
                raise ValueError(f"it ends {response.length} bytes early")
            return body
        finally:
            self._connection.close()

    def end(self) -> None:
        """End the request if it is in progress."""
        self._has_ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

"""The HTTP library: the only file that imports it."""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2

from jobproc.client.connection.configuration import Configuration
from jobproc.client.connection.request import Response
from jobproc.client.connection.steps import Lost, Send

#: Connections that stay open between requests, and all of them: waits of many threads need one each.
LIMITS = httpx2.Limits(max_keepalive_connections=20, max_connections=1_000)
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


def _options(configuration: Configuration) -> dict[str, Any]:
    verify: ssl.SSLContext | bool = True
    if configuration.ca_file:
        verify = ssl.create_default_context(cafile=configuration.ca_file)
    elif configuration.url.startswith("http:") and not configuration.oidc_issuer:
        # Trusts nobody, as no request is of TLS: to read the system's authorities takes 30 ms of CPU.
        verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {"verify": verify, "proxy": configuration.proxy, "limits": LIMITS, "follow_redirects": False}


def _arguments(step: Send) -> dict[str, Any]:
    return {
        "method": step.method,
        "url": step.url,
        "headers": dict(step.headers),
        "content": step.body,
        "timeout": step.timeout_s,
    }


def _response(response: httpx2.Response, body: bytes) -> Response:
    return Response(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def _lost(error: httpx2.HTTPError | httpx2.InvalidURL) -> Lost:
    return Lost(f"{type(error).__name__}: {error}".rstrip(": "), was_sent=not isinstance(error, _NOT_SENT))


class Transport:
    """Sends requests, and waits for them."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = httpx2.Client(**_options(configuration))
        self.close = self._client.close

    def send(self, step: Send) -> Response | Lost:
        """Send a request."""
        try:
            response = self._client.request(**_arguments(step))
            return _response(response, response.content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _lost(error)

    def lines(self, step: Send) -> Iterator[Response | str | Lost]:
        """Yield the response without its body, then its lines; of another status than 200 only the whole response."""
        try:
            with self._client.stream(**_arguments(step)) as response:
                is_stream = response.status_code == 200  # noqa: PLR2004 - OK
                yield _response(response, b"" if is_stream else response.read())
                if is_stream:
                    yield from response.iter_lines()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            yield _lost(error)


class AsyncTransport:
    """Sends requests, and awaits them."""

    def __init__(self, configuration: Configuration) -> None:
        self._client = httpx2.AsyncClient(**_options(configuration))
        self.close = self._client.aclose

    async def send(self, step: Send) -> Response | Lost:
        """Send a request."""
        try:
            response = await self._client.request(**_arguments(step))
            return _response(response, response.content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _lost(error)

    async def lines(self, step: Send) -> AsyncIterator[Response | str | Lost]:
        """Yield the response without its body, then its lines; of another status than 200 only the whole response."""
        try:
            async with self._client.stream(**_arguments(step)) as response:
                is_stream = response.status_code == 200  # noqa: PLR2004 - OK
                yield _response(response, b"" if is_stream else await response.aread())
                if is_stream:
                    async for line in response.aiter_lines():
                        yield line
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            yield _lost(error)

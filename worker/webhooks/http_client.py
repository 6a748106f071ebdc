"""The HTTP client of webhooks. It connects to an address that it has checked, follows nothing, and reads little.

Every socket is made by one function, which checks its address against the table of networks. So there is no moment
between a check and a connection, however a name was resolved and whatever it resolves to a moment later.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from common.domain.webhooks.networks import ANY_PRIVATE, Address, parsed_address, refusal
from common.domain.webhooks.target_url import TargetUrl
from common.settings import Settings

RESOLVER_THREADS = 16
KEEP_ALIVE_S = 15.0
MAX_HEADER_BYTES = 8_190  # of a line
MAX_RETRY_AFTER_DIGITS = 6
USER_AGENT = "jobproc-webhooks"
AddressInfo = tuple[Any, ...]  # (family, type, protocol, canonical name, socket address)
Resolve = Callable[[str, int], Awaitable[list[AddressInfo]]]


class TargetRefused(Exception):
    """Nothing is sent to the addresses of a host."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of a receiver."""

    status: int
    retry_after_s: float | None  #: that it asks for, in seconds
    text: str  #: the first characters of its body


class HttpClient:
    """Sends events. To be made and used in one event loop."""

    def __init__(self, settings: Settings, resolve: Resolve | None = None) -> None:
        """`resolve`: instead of the system's resolver."""
        self._settings = settings
        self._rules = settings.webhook_url_rules
        self._networks = settings.webhook_networks
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="webhook-resolver")
        self._resolve = resolve or self._resolve_by_system
        self._tls = ssl.create_default_context()
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.webhook_ca_file:
            self._tls.load_verify_locations(settings.webhook_ca_file)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(self, target: TargetUrl, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a body, and return the answer. Raises TargetRefused, OSError, TimeoutError or aiohttp.ClientError."""
        async with asyncio.timeout(self._settings.webhook_timeout_seconds):
            session = self._session(is_private=self._rules.is_private_host(target.host))
            all_headers = {"content-type": "application/json", "user-agent": USER_AGENT, **headers}
            async with session.post(_url(target), data=body, headers=all_headers, allow_redirects=False) as response:
                return Response(response.status, _retry_after_s(response), await self._beginning(response))

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check(self, address: Address, *, is_private: bool) -> None:
        """Raise TargetRefused if nothing may be sent to an address. `is_private`: an operator allows the host."""
        allowed = [*self._networks, *ANY_PRIVATE] if is_private else self._networks
        if (meaning := refusal(address, allowed)) is not None:
            raise TargetRefused(f"the host has the address {address}, which is of {meaning}; nothing was sent")

    def _session(self, *, is_private: bool) -> aiohttp.ClientSession:
        if is_private not in self._sessions:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self, is_private=is_private),
                use_dns_cache=False,
                limit=0,
                ssl=self._tls,
                keepalive_timeout=KEEP_ALIVE_S,
                socket_factory=lambda info: self._socket(info, is_private=is_private),
            )
            self._sessions[is_private] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=MAX_HEADER_BYTES,
                max_field_size=MAX_HEADER_BYTES,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._sessions[is_private]

    def _socket(self, info: AddressInfo, *, is_private: bool) -> socket.socket:
        """Return a socket for an address that is checked here: this is where the client connects to."""
        self.check(_address(info), is_private=is_private)
        made = socket.socket(*info[:3])
        made.setblocking(False)
        return made

    async def resolve(self, host: str, port: int, *, is_private: bool) -> list[AddressInfo]:
        """Return the allowed addresses of a host. Raises TargetRefused if it has no others, or OSError."""
        infos = await self._resolve(host, port)
        allowed: list[AddressInfo] = []
        refused: TargetRefused | None = None
        for info in infos:
            try:
                self.check(_address(info), is_private=is_private)
                allowed.append(info)
            except TargetRefused as error:
                refused = error
        if not allowed and refused is not None:
            raise refused
        return allowed

    async def _resolve_by_system(self, host: str, port: int) -> list[AddressInfo]:
        # With a dot at its end the name is complete: no domain of the system's search list is tried.
        name = host if self._rules.is_private_host(host) else f"{host}."
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, lambda: list(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        )

    async def _beginning(self, response: aiohttp.ClientResponse) -> str:
        """Read a response up to the limit, so that its connection can be used again; close that of a longer one."""
        limit, read = self._settings.webhook_max_response_bytes, bytearray()
        async for chunk in response.content.iter_any():
            read += chunk
            if len(read) > limit:
                response.close()
                break
        characters = self._settings.webhook_response_characters
        return bytes(read[: characters * 4]).decode("utf-8", "replace")[:characters]


class _CheckedResolver(AbstractResolver):
    """Resolves names for the client, without the addresses that are refused."""

    def __init__(self, client: HttpClient, *, is_private: bool) -> None:
        self._client = client
        self._is_private = is_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        infos = await self._client.resolve(host, port, is_private=self._is_private)
        return [
            ResolveResult(
                hostname=host,
                host=str(_address(info)),
                port=port,
                family=info[0],
                proto=info[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for info in infos
            if family in (socket.AF_UNSPEC, info[0])
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _address(info: AddressInfo) -> Address:
    host = info[4][0]
    address = parsed_address(host)
    if address is None:
        raise TargetRefused(f"the host has the address {host!r}, which is none; nothing was sent")
    return address


def _url(target: TargetUrl) -> URL:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return URL(f"{target.scheme}://{host}:{target.port}{target.target}", encoded=True)


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= MAX_RETRY_AFTER_DIGITS else None

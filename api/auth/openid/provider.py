"""The OpenID provider of the installation: its keys, read anew while tokens come, and kept while it is away."""

import asyncio
import time
from typing import Any

from jwt import PyJWK
from prometheus_client import CollectorRegistry

from api.auth.access import InvalidToken
from api.auth.openid.fetch import Documents, FetchError
from api.auth.openid.key_set import KeySet
from api.web.problem_kinds import ISSUER_UNAVAILABLE
from api.web.problems import ProblemError
from common.settings import Settings
from common.settings.access.oidc import DISCOVERY_PATH
from common.telemetry import logs
from common.telemetry.access_metrics import FETCH_OUTCOMES, ISSUER_FETCHES, ISSUER_LAST_SUCCESS

log = logs.get("api")


class Provider:
    """The keys of the OpenID provider."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Raise StartupError if the file of certificates cannot be used."""
        self._fetches = ISSUER_FETCHES.counter(registry, *FETCH_OUTCOMES)
        self._read_at_gauge = ISSUER_LAST_SUCCESS.gauge(registry)
        self._issuer = settings.oidc_issuer
        self._jwks_url = settings.oidc_jwks_url
        self._algorithms = settings.algorithms
        self._cache_s = settings.oidc_jwks_cache_seconds
        self._interval_s = settings.oidc_jwks_min_interval_seconds
        self._outage_s = settings.oidc_jwks_outage_seconds
        self.documents = Documents(settings.oidc_fetch_timeout_seconds, settings.oidc_ca_file)
        self._keys: KeySet | None = None
        self._read_at = float("-inf")  # time.monotonic() of the last successful read
        self._tried_at = float("-inf")  # and of the start of the last one
        self._reading: asyncio.Task[None] | None = None
        self._failure = ""  #: of the last read; empty: it succeeded
        self.generation = 0  #: rises when a key is gone: what was verified with it is not believed any longer

    async def key(self, key_id: str, algorithm: str) -> PyJWK:
        """Return the key that a token names. Raises InvalidToken, or ProblemError if the provider is away."""
        age_s = time.monotonic() - self._read_at
        if age_s >= self._cache_s:
            self.refresh()
        if self._keys is None or age_s > self._outage_s or key_id not in self._keys.ids:
            self.refresh()
            if self._reading is not None:
                await asyncio.shield(self._reading)
        if self._keys is None or time.monotonic() - self._read_at > self._outage_s:
            raise ProblemError(ISSUER_UNAVAILABLE)
        if key_id not in self._keys.ids:
            if self._failure:  # the provider may have the key by now
                raise ProblemError(ISSUER_UNAVAILABLE)
            raise InvalidToken("The token is signed with a key that the issuer does not have.")
        key = self._keys.find(key_id, algorithm)
        if key is None:
            raise InvalidToken("The algorithm of the token is not that of its key.")
        return key

    def refresh(self) -> None:
        """Start to read the keys, unless that is in progress or was tried a moment ago."""
        is_reading = self._reading is not None and not self._reading.done()
        if not is_reading and time.monotonic() - self._tried_at >= self._interval_s:
            self._tried_at = time.monotonic()
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        logs.request_id.set(b"")  # one request starts the read, but it serves all
        try:
            keys = await self._read_keys()
        except FetchError as error:
            self._fetches.labels("failed").inc()
            if str(error) != self._failure:
                log.warning("issuer_unavailable", issuer=self._issuer, reason=str(error))
            self._failure = str(error)
            return
        self._fetches.labels("ok").inc()
        self._read_at_gauge.set_to_current_time()
        known = self._keys.ids if self._keys is not None else frozenset()
        if keys.ids != known or self._failure:
            log.info("issuer_keys_read", issuer=self._issuer, keys=sorted(keys.ids), unused=keys.unused)
        if known - keys.ids:
            self.generation += 1
        self._keys, self._read_at, self._failure = keys, time.monotonic(), ""

    async def _read_keys(self) -> KeySet:
        url = self._jwks_url or await self._discovered_url()
        try:
            return KeySet(await self.documents.read(url), self._algorithms)
        except ValueError as error:
            raise FetchError(f"{url}: {error}") from error

    async def _discovered_url(self) -> str:
        return member_of(await self.discovery(), "jwks_uri")

    async def discovery(self) -> dict[str, Any]:
        """Return the discovery document of the provider. Raises FetchError."""
        url = self._issuer.rstrip("/") + DISCOVERY_PATH
        document = await self.documents.read(url)
        if document.get("issuer") != self._issuer:
            raise FetchError(f"{url}: the document is of another issuer")
        return document

    async def close(self) -> None:
        """End a read in progress."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


def member_of(discovery: dict[str, Any], name: str) -> str:
    """Return a URL of a discovery document. Raises FetchError."""
    url = discovery.get(name)
    if not isinstance(url, str):
        raise FetchError(f"{discovery['issuer']}{DISCOVERY_PATH}: no {name}")
    return url

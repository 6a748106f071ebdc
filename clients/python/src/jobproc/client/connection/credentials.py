"""Credentials: an API key, or a token of an OpenID provider that is kept until shortly before its expiry."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from jobproc.client.connection.configuration import Configuration
from jobproc.client.connection.request import Request, Response
from jobproc.client.connection.retries import Tries
from jobproc.client.connection.steps import Pause, Send, Steps
from jobproc.client.errors import AuthenticationFailed

DISCOVERY = "/.well-known/openid-configuration"
EARLY_S = 30.0  # a token is renewed this long before its expiry, or at half of its time if that is later
DEFAULT_LIFETIME_S = 60.0  # of a token whose response does not say it
OK = 200


class Credentials(Protocol):
    """A bearer token for each request."""

    def token(self, tries: Callable[[], Tries]) -> Steps[str]:
        """Return the token; empty: none is sent."""
        ...

    def forget(self, token: str) -> bool:
        """Take note that the API has refused a token. Return True if another one may be had."""
        ...


def credentials_of(configuration: Configuration, clock: Callable[[], float]) -> Credentials:
    """Return the credentials of a configuration."""
    if configuration.oidc_issuer:
        return ClientCredentials(configuration, clock)
    return ApiKey(configuration.api_key)


class ApiKey:
    """An API key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def token(self, tries: Callable[[], Tries]) -> Steps[str]:  # noqa: ARG002 - of the protocol
        """Return the key."""
        return self._key
        yield Pause(0)  # makes this a generator, as the other kind is

    def forget(self, token: str) -> bool:  # noqa: ARG002 - of the protocol
        """Return False: there is no other key."""
        return False


class ClientCredentials:
    """The grant of client credentials (RFC 6749, 4.4), at the token endpoint of the discovery document."""

    def __init__(self, configuration: Configuration, clock: Callable[[], float]) -> None:
        self._configuration, self._clock = configuration, clock
        self._endpoint = ""
        self._token, self._renew_at = "", 0.0

    def token(self, tries: Callable[[], Tries]) -> Steps[str]:
        """Return the token; a new one shortly before the expiry."""
        if not self._token or self._clock() >= self._renew_at:
            yield from self._renew(tries)
        return self._token

    def forget(self, token: str) -> bool:
        """Take note that the API has refused a token. Return True: the provider may give another one."""
        if token == self._token:
            self._token = ""
        return True

    def _renew(self, tries: Callable[[], Tries]) -> Steps[None]:
        configuration = self._configuration
        if not self._endpoint:
            url = configuration.oidc_issuer.rstrip("/") + DISCOVERY
            document = yield from self._fetch(Send("GET", url, {}, None, configuration.timeout_s), tries())
            self._endpoint = str(_member(document, "token_endpoint", url))
        form = {
            "grant_type": "client_credentials",
            **({"scope": configuration.oidc_scope} if configuration.oidc_scope else {}),
            **({"audience": configuration.oidc_audience} if configuration.oidc_audience else {}),
        }
        pair = f"{quote(configuration.oidc_client_id, safe='')}:{quote(configuration.oidc_client_secret, safe='')}"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
        }
        asked_at = self._clock()
        send = Send("POST", self._endpoint, headers, urlencode(form).encode(), configuration.timeout_s)
        answer = yield from self._fetch(send, tries())
        lifetime = float(answer.get("expires_in") or DEFAULT_LIFETIME_S)
        self._token = str(_member(answer, "access_token", self._endpoint))
        self._renew_at = asked_at + max(lifetime - EARLY_S, lifetime / 2)

    def _fetch(self, send: Send, tries: Tries) -> Steps[dict[str, Any]]:
        request = Request(send.method, send.url, Response.json)
        while True:
            outcome = yield send
            if isinstance(outcome, Response) and outcome.status == OK:
                try:
                    document = outcome.json()
                except ValueError:
                    document = None
                if isinstance(document, dict):
                    return document
            pause = tries.pause_after(request, outcome)
            if pause is None:
                reason = (
                    f"{outcome.status}: {outcome.body[:500]!r}" if isinstance(outcome, Response) else outcome.reason
                )
                raise AuthenticationFailed(f"no token from {send.url}: {reason}")
            yield Pause(pause)


def _member(document: dict[str, Any], name: str, url: str) -> object:
    if not document.get(name):
        raise AuthenticationFailed(f"the response of {url} has no {name}")
    return document[name]

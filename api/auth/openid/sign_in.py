"""The sign-in of a person at the OpenID provider: authorization code, PKCE, state, nonce (OpenID Connect Core, 3.1).

The ID token says that this person has signed in here and now. The access token says what the person may do, by the
same settings as the tokens of other clients.
"""

import asyncio
import hmac
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from api.auth.access import InvalidToken
from api.auth.openid.fetch import FetchError, Form, RequestRefused
from api.auth.openid.provider import member_of
from api.auth.openid.tokens import TokenVerification
from api.auth.principal import Principal
from api.auth.sessions.sign_in import SignIn
from api.web.problem_kinds import ISSUER_UNAVAILABLE
from api.web.problems import ProblemError
from api.web.resource_problem_kinds import SIGN_IN_REFUSED
from common.settings import Settings
from common.settings.access.oidc import checked_url
from common.telemetry import logs

log = logs.get("api")
MAX_EXCHANGES = 8  # codes that one process exchanges at a time; more get 503
MAX_CODE_CHARACTERS = 4_096
MAX_NAME_CHARACTERS = 255
_NAME_CLAIMS = ("name", "preferred_username", "email")
_AWAY = "The OpenID provider does not answer, so nobody can sign in there; retry later. API keys are served."


class _Endpoints(NamedTuple):
    authorization: str
    token: str
    takes_basic: bool  #: the client may authenticate in the Authorization header


class OpenIdSignIn:
    """Sends browsers to the provider, and finds out who has signed in there."""

    def __init__(self, settings: Settings, tokens: TokenVerification) -> None:
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        self._redirect_url = settings.oidc_redirect_url
        self._scope = settings.oidc_sign_in_scope
        self._parameters = settings.sign_in_parameters
        self._issuer = settings.oidc_issuer
        self._interval_s = settings.oidc_jwks_min_interval_seconds
        self._tokens = tokens
        self._provider = tokens.provider
        self._reading: asyncio.Task[_Endpoints] | None = None
        self._read_at = float("-inf")  # time.monotonic() of the start of the last read
        self._exchanges = 0
        self.is_secure = settings.oidc_redirect_url.startswith("https://")

    async def url(self, sign_in: SignIn) -> str:
        """Return the URL at which a browser signs in. Raises ProblemError if the provider is away."""
        endpoint = (await self._endpoints()).authorization
        query = {
            **self._parameters,
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_url,
            "scope": self._scope,
            "state": sign_in.state,
            "nonce": sign_in.nonce,
            "code_challenge": sign_in.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def check_answer(self, answer: Mapping[str, str]) -> str:
        """Return the code in the query with which a browser comes back. Raises ProblemError if it was refused."""
        if answer.get("iss", self._issuer) != self._issuer:  # RFC 9207
            raise ProblemError(SIGN_IN_REFUSED, "The answer is of another OpenID provider.")
        code = answer.get("code", "")
        if "error" in answer or not 0 < len(code) <= MAX_CODE_CHARACTERS:
            raise ProblemError(SIGN_IN_REFUSED, "The OpenID provider has refused the sign-in, or it was cancelled.")
        return code

    async def caller(self, sign_in: SignIn, code: str) -> Principal:
        """Return who has signed in. Raises ProblemError."""
        if self._exchanges >= MAX_EXCHANGES:
            raise ProblemError(ISSUER_UNAVAILABLE, "Too many sign-ins wait for the OpenID provider; retry in a moment.")
        self._exchanges += 1
        try:
            answer = await self._exchange(sign_in, code)
            return await self._caller(sign_in, answer)
        except RequestRefused as error:
            log.warning("sign_in_refused", reason=f"{error}: {error.code}")
            raise ProblemError(SIGN_IN_REFUSED, "The OpenID provider has refused the code of the sign-in.") from error
        except FetchError as error:
            log.warning("issuer_unavailable", issuer=self._issuer, reason=str(error))
            raise ProblemError(ISSUER_UNAVAILABLE, _AWAY) from error
        except InvalidToken as error:
            log.warning("sign_in_refused", reason=str(error))
            raise ProblemError(SIGN_IN_REFUSED, str(error)) from error
        finally:
            self._exchanges -= 1

    async def _exchange(self, sign_in: SignIn, code: str) -> dict[str, Any]:
        """Return the answer of the token endpoint. Raises FetchError, or ProblemError if the provider is away."""
        endpoints = await self._endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_url,
            "code_verifier": sign_in.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._client_secret and endpoints.takes_basic:
            credentials = f"{_encoded(self._client_id)}:{_encoded(self._client_secret)}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {b64encode(credentials.encode()).decode()}"
        else:
            form["client_id"] = self._client_id
            if self._client_secret:
                form["client_secret"] = self._client_secret
        return await self._provider.documents.read(endpoints.token, Form(urlencode(form).encode(), headers))

    async def _caller(self, sign_in: SignIn, answer: Mapping[str, Any]) -> Principal:
        """Return the caller that the tokens of an answer name. Raises InvalidToken, or ProblemError."""
        identity = await self._claims(answer, "id_token", "ID token", [self._client_id])
        nonce = identity.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), sign_in.nonce.encode()):
            raise InvalidToken("The ID token of the OpenID provider is of another sign-in.")
        if identity.get("azp", self._client_id) != self._client_id:
            raise InvalidToken("The ID token of the OpenID provider is of another client.")
        access = await self._claims(answer, "access_token", "access token", self._tokens.audiences)
        if "sub" in access and access["sub"] != identity.get("sub"):
            raise InvalidToken("The two tokens of the OpenID provider are of different people.")
        return replace(self._tokens.principal_of(access), name=_name(identity))

    async def _claims(self, answer: Mapping[str, Any], member: str, name: str, audiences: list[str]) -> dict[str, Any]:
        token = answer.get(member)
        if not isinstance(token, str):
            raise InvalidToken(f"The OpenID provider has sent no {name}.")
        try:
            return await self._tokens.claims(token, audiences)
        except InvalidToken as error:
            raise InvalidToken(f"The {name} of the OpenID provider is not accepted. {error}") from error

    async def _endpoints(self) -> _Endpoints:
        """Return where browsers sign in, and codes are exchanged, as the provider says now. Raises ProblemError."""
        now = time.monotonic()
        if self._reading is None or (self._reading.done() and now - self._read_at >= self._interval_s):
            self._read_at, self._reading = now, asyncio.create_task(self._read_endpoints())
        try:
            return await asyncio.shield(self._reading)
        except FetchError as error:
            raise ProblemError(ISSUER_UNAVAILABLE, _AWAY) from error

    async def _read_endpoints(self) -> _Endpoints:
        logs.request_id.set(b"")  # one request starts the read, but it serves all
        try:
            document = await self._provider.discovery()
            authorization = member_of(document, "authorization_endpoint")
            try:
                checked_url(authorization)
            except ValueError as error:
                raise FetchError(f"{authorization}: the URL {error}") from error
            methods = document.get("token_endpoint_auth_methods_supported")
            takes_basic = not isinstance(methods, list) or "client_secret_basic" in methods
            return _Endpoints(authorization, member_of(document, "token_endpoint"), takes_basic)
        except FetchError as error:
            log.warning("issuer_unavailable", issuer=self._issuer, reason=str(error))
            raise

    async def close(self) -> None:
        """End a read in progress."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


def _encoded(text: str) -> str:
    # As in a form, but a space is %20, which every way to decode it reads as one.
    return quote(text, safe="")


def _name(identity: Mapping[str, Any]) -> str | None:
    """Return the name of a person; None: the ID token has none that can be shown."""
    for claim in _NAME_CLAIMS:
        name = identity.get(claim)
        if isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable():
            return name
    return None

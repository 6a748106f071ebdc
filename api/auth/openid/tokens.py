"""Verifies tokens of the OpenID provider: JWTs with a signature (RFC 7519, RFC 8725, RFC 9068)."""

import hashlib
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jiter
import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)
from jwt.utils import base64url_decode

from api.auth.access import InvalidToken
from api.auth.directory import Directory
from api.auth.openid.claims import ClaimReader, Claims, check_types
from api.auth.openid.provider import Provider
from api.auth.principal import Principal
from common.settings import Settings

BELIEVED_S = 60.0  # for which a verified token is not verified again
MAX_BELIEVED = 10_000  # tokens
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = ("jwt", "at+jwt", "application/at+jwt", "application/jwt")
_REQUIRED = ["exp", "iss", "aud"]
_SENTENCES: tuple[tuple[type[PyJWTError], str], ...] = (
    (ExpiredSignatureError, "The token has expired."),
    (ImmatureSignatureError, "The token is not valid yet."),
    (InvalidAudienceError, "The token is for another audience."),
    (InvalidIssuerError, "The token is of another issuer."),
    (MissingRequiredClaimError, "The token lacks one of the claims exp, iss and aud."),
    (InvalidSignatureError, "The signature of the token is wrong."),
    (PyJWTError, "The token is malformed."),
)


class _Believed(NamedTuple):
    principal: Principal
    until: float  #: Unix seconds


class TokenVerification:
    """Finds the callers of tokens, and remembers for a minute the tokens that it has verified."""

    def __init__(self, settings: Settings, directory: Directory, provider: Provider) -> None:
        self._issuer = settings.oidc_issuer
        self.audiences = settings.audiences
        self._algorithms = settings.algorithms
        self._leeway_s = settings.oidc_leeway_seconds
        self._max_s = settings.oidc_max_token_seconds
        self._claims = ClaimReader(settings)
        self._directory = directory
        self.provider = provider
        self._believed: dict[bytes, _Believed] = {}  # by the SHA-256 of the token
        self._generation = provider.generation

    async def principal(self, token: str) -> Principal:
        """Return the caller. Raises InvalidToken, or ProblemError if the provider is away."""
        if self._generation != self.provider.generation:
            self._believed.clear()
            self._generation = self.provider.generation
        digest = hashlib.sha256(token.encode("latin-1")).digest()
        known = self._believed.get(digest)
        if known is not None:
            if time.time() < known.until and known.principal.tenant in self._directory.tenants:
                return known.principal
            del self._believed[digest]
        principal, expires_at = await self._verified(token)
        if len(self._believed) >= MAX_BELIEVED:
            del self._believed[next(iter(self._believed))]
        self._believed[digest] = _Believed(principal, min(expires_at + self._leeway_s, time.time() + BELIEVED_S))
        return principal

    async def close(self) -> None:
        """End a read of the provider's keys that is in progress."""
        await self.provider.close()

    async def _verified(self, token: str) -> tuple[Principal, float]:
        """Verify a token. Return its caller, and when it expires in Unix seconds."""
        claims = await self.claims(token, self.audiences)
        return self.principal_of(claims), claims["exp"]

    async def claims(self, token: str, audiences: Sequence[str]) -> dict[str, Any]:
        """Return the claims of a token for one of these audiences. Raises as `principal`."""
        if not _FORM.fullmatch(token):
            raise InvalidToken("The Authorization header has neither an API key nor a signed token (JWT).")
        head, body, _ = token.split(".")
        key_id, algorithm = self._key_of(_object(head))
        check_types(_object(body))
        key = await self.provider.key(key_id, algorithm)
        try:
            claims = jwt.decode(
                token,
                key,
                [algorithm],
                audience=audiences,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": _REQUIRED},
            )
        except PyJWTError as error:
            raise InvalidToken(next(text for kind, text in _SENTENCES if isinstance(error, kind))) from error
        if claims["exp"] - time.time() > self._max_s + self._leeway_s:
            raise InvalidToken("The token expires too late.")
        return dict(claims)

    def principal_of(self, claims: Claims) -> Principal:
        """Return the caller that the claims of a verified access token name. Raises InvalidToken."""
        caller = self._claims.caller(claims)
        tenant = self._directory.tenants_by_name.get(caller.tenant_name)
        if tenant is None:
            raise InvalidToken("The tenant of the token does not exist.")
        return Principal(tenant.id, tenant.name, caller.scopes, caller.subject)

    def _key_of(self, header: dict[str, Any]) -> tuple[str, str]:
        """Return the id of the key and the algorithm that a header names. Where it says to find a key is ignored."""
        key_id, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken("The algorithm of the token is not allowed.")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in _TYPES or "cty" in header or "crit" in header:
            raise InvalidToken("The token is of another type than an access token.")
        if not isinstance(key_id, str):
            raise InvalidToken("The token names no key (header kid).")
        return key_id, algorithm


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object of a part of a token. Raises InvalidToken, for a name that is there twice too."""
    try:
        value = jiter.from_json(base64url_decode(part), allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:  # of base64 too
        raise InvalidToken("The token is malformed.") from error
    if not isinstance(value, dict):
        raise InvalidToken("The token is malformed.")
    return value

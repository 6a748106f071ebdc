"""The one place that decides whether a request may do what its route does."""

import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from starlette.types import Scope as AsgiScope

from api.auth.directory import Directory, KnownKey
from api.auth.principal import ANYONE, Principal
from api.auth.sessions.cookie import SessionCookie, header
from api.auth.sessions.known_sessions import KnownSessions
from api.auth.sessions.same_origin import check_same_origin
from api.limits.rates.request_limits import RequestLimits
from api.web.problem_kinds import SCOPE_MISSING, TENANT_NOT_FOUND, TENANT_REMOVING, TENANT_SUSPENDED, UNAUTHENTICATED
from api.web.problems import ProblemError
from common.domain.tenancy.api_keys import ApiKeyToken, digest_of
from common.domain.tenancy.console_sessions import ConsoleSession, session_digest
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import TenantState
from common.settings import Settings
from common.settings.access.authentication import Authentication

MAX_CREDENTIAL_BYTES = 8_192
TENANT_HEADER = "Jobproc-Tenant"
_SCHEME = "bearer "
_NO_DIGEST = bytes(32)
_TENANT_HEADER = TENANT_HEADER.lower().encode()


class TokenVerifier(Protocol):
    """Finds the caller that a token of an OpenID provider names."""

    async def principal(self, token: str) -> Principal:
        """Return the caller. Raises InvalidToken, or ProblemError if the provider is away."""

    async def close(self) -> None:
        """End what is in progress."""


class InvalidToken(Exception):
    """A token is not accepted. The message is for the client, and repeats nothing of the token."""


class Access:
    """Authenticates requests and compares their scopes with that of the route."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        limits: RequestLimits,
        sessions: KnownSessions,
        tokens: TokenVerifier | None = None,
    ) -> None:
        """`tokens`: None if no OpenID provider is configured."""
        self._is_off = settings.authentication is Authentication.OFF
        self._directory = directory
        self._limits = limits
        self._sessions = sessions
        self._cookie = SessionCookie(settings) if settings.console_sign_in else None
        self._tokens = tokens

    async def admit(self, scope: AsgiScope, needed: Scope | None) -> Principal:
        """Return the caller of a request, who may do what needs this scope; None: none is needed.

        Raises ProblemError otherwise, or StoreUnavailable. Nothing of the body has been read.
        """
        limits = self._limits
        if limits.counts_addresses:
            await limits.check_address(scope)
        try:
            principal = ANYONE if self._is_off else await self._authenticated(scope)
        except ProblemError as problem:
            raise await limits.failed(scope, problem) from None
        if limits.counts_callers:
            await limits.check_caller(scope, principal.tenant, principal.subject)
        if needed is not None:
            check_scope(principal, needed)
        name = header(scope, _TENANT_HEADER)
        return principal if name is None else await self._across(principal, name)

    async def _across(self, principal: Principal, name: bytes) -> Principal:
        """Return an operator who acts for another tenant, also a suspended one. Raises ProblemError."""
        check_scope(principal, Scope.ADMIN)
        tenant = await self._directory.tenant_named(name.decode("latin-1"))
        if tenant is None:
            raise ProblemError(TENANT_NOT_FOUND)
        if tenant.state is TenantState.REMOVING:
            raise ProblemError(TENANT_REMOVING)
        return replace(
            principal,
            tenant=tenant.id,
            tenant_name=tenant.name,
            is_draining=tenant.state is TenantState.DRAINING,
            own_tenant=None if tenant.id == principal.tenant else principal.tenant_name,
        )

    async def close(self) -> None:
        """End what is in progress."""
        if self._tokens is not None:
            await self._tokens.close()

    async def _authenticated(self, scope: AsgiScope) -> Principal:
        authorization = header(scope, b"authorization")
        if authorization is None:
            principal = await self._by_cookie(scope)
        else:
            credential = _credential(authorization)
            key = ApiKeyToken.parse(credential)
            if key is None and self._tokens is None:
                raise unauthenticated("The Authorization header has no API key.")
            if not self._directory.is_fresh:
                await self._directory.refresh()
            principal = await (self._by_token(credential) if key is None else self._by_key(scope, key))
        tenant = self._directory.tenants.get(principal.tenant)
        if tenant is None:
            raise unauthenticated("The tenant of the caller does not exist.")
        if tenant.state is TenantState.ACTIVE:
            return principal
        if tenant.state is TenantState.DRAINING:
            return replace(principal, is_draining=True)
        raise ProblemError(TENANT_SUSPENDED)

    async def _by_token(self, token: str) -> Principal:
        assert self._tokens is not None  # noqa: S101 - the caller has seen it
        try:
            return await self._tokens.principal(token)
        except InvalidToken as error:
            raise unauthenticated(str(error), 'error="invalid_token"') from error

    async def _by_cookie(self, scope: AsgiScope) -> Principal:
        """Return the caller of a request without an Authorization header. Raises ProblemError."""
        secret = None if self._cookie is None else self._cookie.value(scope)
        if secret is None:
            raise unauthenticated(
                "The request has no Authorization header; send `Authorization: Bearer` and an API key."
            )
        check_same_origin(scope)
        digest = session_digest(secret)
        if not self._directory.is_fresh:
            await self._directory.refresh()
        session = None if digest is None else await self._sessions.find(digest)
        if session is None:
            raise unauthenticated("The session has ended; sign in again.")
        return await self._of_session(session)

    async def _of_session(self, session: ConsoleSession) -> Principal:
        if session.key_id is None:
            tenant = self._directory.tenants.get(session.tenant)
            if tenant is None or self._tokens is None:
                raise unauthenticated("The tenant or the OpenID provider of the session does not exist any more.")
            return Principal(
                tenant.id, tenant.name, session.scopes, session.subject, name=session.name, session=session
            )
        known = self._directory.keys.get(session.key_id) or await self._directory.look_for(session.key_id)
        now = time.time()
        if known is None or now >= known.expires_at:
            raise unauthenticated("The API key of the session has expired or was revoked.")
        self._directory.note_use(session.key_id, now)
        return of_key_session(known, session)

    async def _by_key(self, scope: AsgiScope, token: ApiKeyToken) -> Principal:
        known: KnownKey | None = self._directory.keys.get(token.id)
        if known is None:
            await self._limits.check_unknown_key(scope)
            known = await self._directory.look_for(token.id)
        # An unknown id takes the same steps.
        is_right = hmac.compare_digest(digest_of(token.secret), _NO_DIGEST if known is None else known.digest)
        if known is None or not is_right:
            raise unauthenticated("The API key is not valid.")
        now = time.time()
        if now >= known.expires_at:
            raise unauthenticated("The API key has expired or was revoked.")
        self._directory.note_use(token.id, now)
        return known.principal


def of_key_session(key: KnownKey, session: ConsoleSession) -> Principal:
    """Return the caller of a session that began with an API key. It ends with the key, if that is earlier."""
    if key.expires_at < session.expires_at.timestamp():
        session = replace(session, expires_at=datetime.fromtimestamp(key.expires_at, UTC))
    return replace(key.principal, session=session)


def check_scope(principal: Principal, needed: Scope) -> None:
    """Raise ProblemError if the caller lacks a scope."""
    if needed not in principal.scopes:
        raise _scope_missing(needed, principal)


def unauthenticated(detail: str, *parameters: str) -> ProblemError:
    """Return the problem of a request without valid credentials (RFC 6750, 3); `parameters` are of the header."""
    challenge = ", ".join(['Bearer realm="jobproc"', *parameters])
    return ProblemError(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": challenge})


def _credential(value: bytes) -> str:
    """Return the credential in an Authorization header. Raises ProblemError if it has none."""
    text = value.decode("latin-1")
    if len(value) <= MAX_CREDENTIAL_BYTES and text[: len(_SCHEME)].lower() == _SCHEME:
        return text[len(_SCHEME) :].strip()
    raise unauthenticated("The Authorization header must be `Bearer` and an API key or a token.")


def _scope_missing(needed: Scope, principal: Principal) -> ProblemError:
    has = ", ".join(sorted(principal.scopes)) or "none"
    return ProblemError(
        SCOPE_MISSING,
        f"The request needs the scope {needed}; the caller has: {has}.",
        headers={"WWW-Authenticate": f'Bearer realm="jobproc", error="insufficient_scope", scope="{needed}"'},
        scope=needed,
    )

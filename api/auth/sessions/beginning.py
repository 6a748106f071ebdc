"""The begin and the end of a console session, each with its entry in the audit log."""

from datetime import UTC, datetime

from fastapi import Request

from api.auth.auditing import audit_entry, change_audited
from api.auth.principal import SCOPE_KEY, Principal
from api.auth.sessions.cookie import SessionCookie
from api.auth.sessions.known_sessions import KnownSessions
from api.new_ids import new_job_id_now
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.console_sessions import ConsoleSession, new_secret, session_digest
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.tenancy import console_sessions


class ConsoleSessions:
    """Begins and ends sessions, and writes their cookies."""

    def __init__(self, settings: Settings, pool: DatabasePool, known: KnownSessions) -> None:
        self.cookie = SessionCookie(settings)
        self.known = known
        self._pool = pool

    async def begin(
        self, request: Request, caller: Principal, key_id: str | None, *, is_secure: bool
    ) -> tuple[ConsoleSession, tuple[bytes, bytes]]:
        """Store a session for a caller; return it, and the header that sets its cookie. Raises StoreUnavailable.

        `key_id`: of the API key with which the caller signs in; None: an OpenID provider has signed in.
        """
        secret = new_secret()
        digest = session_digest(secret) or b""
        new = ConsoleSession(
            id=new_job_id_now(),
            tenant=caller.tenant,
            subject=caller.subject,
            expires_at=datetime.now(UTC),  # the database decides
            key_id=key_id,
            scopes=frozenset() if key_id else caller.scopes,
            name=None if key_id else caller.name,
        )
        request.scope[SCOPE_KEY] = caller  # whose entry it is
        entry = audit_entry(request, AuditAction.SESSION_CREATE, new.id, {"kind": new.kind})
        limits = self.known.limits
        session = await change_audited(
            self._pool, entry, lambda connection: console_sessions.create(connection, digest, new, limits)
        )
        return session, self.cookie.set(request.scope, secret, limits.max_s, is_secure=is_secure)

    async def end(self, request: Request, session: ConsoleSession) -> None:
        """End the session of a request. Other processes notice within five seconds. Raises StoreUnavailable."""
        digest = session_digest(self.cookie.value(request.scope) or "") or b""
        entry = audit_entry(request, AuditAction.SESSION_END, session.id)
        await change_audited(self._pool, entry, lambda connection: console_sessions.delete(connection, digest))
        self.known.forget(digest)

"""Console sessions: found by the digests of their secrets, stored at a sign-in, deleted at their end."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from common.domain.tenancy.console_sessions import ConsoleSession
from common.domain.tenancy.scopes import Scope

USE_INTERVAL_S = 60.0  # a use within it is not stored
_COLUMNS = "digest, id, tenant, subject, key_id, name, scopes, expires_at"
# A row that another process updates is left to it. `$2`: seconds after which an unused session ends.
_FIND = f"""
WITH used AS (
    UPDATE console_sessions SET used_at = clock_timestamp() WHERE digest = ANY (ARRAY(
        SELECT digest FROM console_sessions
        WHERE digest = ANY ($1) AND expires_at > clock_timestamp()
          AND used_at > clock_timestamp() - $2::float8 * interval '1 s'
          AND used_at <= clock_timestamp() - least($3::float8, $2 / 4) * interval '1 s'
        FOR UPDATE SKIP LOCKED)) RETURNING digest, used_at)
SELECT {_COLUMNS}, extract(epoch FROM least(
           expires_at, coalesce(used.used_at, s.used_at) + $2 * interval '1 s') - clock_timestamp())::float8 AS left_s
FROM console_sessions AS s LEFT JOIN used USING (digest) WHERE digest = ANY ($1)
"""
# Two sign-ins at once may pass the largest number by one.
_CREATE = f"""
WITH ended AS (
    DELETE FROM console_sessions
    WHERE expires_at <= clock_timestamp() OR used_at <= clock_timestamp() - $8::float8 * interval '1 s'),
oldest AS (
    DELETE FROM console_sessions WHERE digest = ANY (ARRAY(
        SELECT digest FROM console_sessions WHERE tenant = $3 AND subject = $4 AND digest <> $1
        ORDER BY created_at DESC OFFSET $10::bigint - 1)))
INSERT INTO console_sessions ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $9::float8 * interval '1 s')
ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at RETURNING {_COLUMNS}
"""
_DELETE = "DELETE FROM console_sessions WHERE digest = $1 RETURNING true"


class FoundSession(NamedTuple):
    """A stored session, and for how many seconds it lasts if nobody uses it; 0 or less: it has ended."""

    session: ConsoleSession
    left_s: float


class SessionLimits(NamedTuple):
    """The limits of sessions."""

    idle_s: float  #: seconds without a request after which a session ends
    max_s: float  #: seconds after which it ends in any case
    max_per_caller: int  #: a sign-in beyond it ends the oldest session of the caller


async def find(
    connection: asyncpg.Connection, digests: Sequence[bytes], limits: SessionLimits
) -> dict[bytes, FoundSession]:
    """Return the sessions of digests, and store that they are used. One statement."""
    rows = await connection.fetch(_FIND, list(digests), limits.idle_s, USE_INTERVAL_S)
    return {row["digest"]: FoundSession(_session(row), row["left_s"]) for row in rows}


async def create(
    connection: asyncpg.Connection, digest: bytes, new: ConsoleSession, limits: SessionLimits
) -> ConsoleSession:
    """Store a session and return it as it is stored, with its `expires_at`. One statement, safe to repeat.

    It deletes all sessions that have ended, and the oldest ones of the caller beyond its largest number.
    """
    (row,) = await connection.fetch(
        _CREATE,
        digest,
        new.id,
        new.tenant,
        new.subject,
        new.key_id,
        new.name,
        sorted(new.scopes),
        limits.idle_s,
        limits.max_s,
        limits.max_per_caller,
    )
    return _session(row)


async def delete(connection: asyncpg.Connection, digest: bytes) -> bool:
    """End a session. Return False if there is none any more."""
    return await connection.fetchval(_DELETE, digest) is not None


def _session(row: asyncpg.Record) -> ConsoleSession:
    return ConsoleSession(
        id=row["id"],
        tenant=row["tenant"],
        subject=row["subject"],
        expires_at=row["expires_at"],
        key_id=row["key_id"],
        scopes=frozenset(
            Scope(name) for name in row["scopes"] if name in set(Scope)
        ),  # a newer version may have others
        name=row["name"],
    )

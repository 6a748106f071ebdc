"""API keys, console sessions, and the audit log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class ApiKeyRow(Base):
    """An API key. Of its secret only a digest is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("id ~ '^[0-9A-Za-z]{12}$'", name="id_form"),
        CheckConstraint("octet_length(digest) = 32", name="digest_size"),
        Index("api_keys_changed_in", "changed_in"),
        Index("api_keys_tenant_id", "tenant", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)  #: the public part of the token
    tenant: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_in: Mapped[int] = mapped_column(BigInteger, server_default=text("(pg_current_xact_id()::text::bigint)"))
    expires_at: Mapped[datetime | None]  #: None: never
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  #: within a minute
    name: Mapped[str]
    created_by: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes]  #: SHA-256 of the secret


class ConsoleSessionRow(Base):
    """A browser that has signed in. Its end deletes the row; a sign-in deletes those of which nobody took the end."""

    __tablename__ = "console_sessions"
    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest_size"),
        Index("console_sessions_tenant_subject", "tenant", "subject", "created_at"),
    )

    digest: Mapped[bytes] = mapped_column(primary_key=True)  #: SHA-256 of the secret in the cookie
    id: Mapped[UUID]  #: its name in the audit log
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    used_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))  #: within a minute
    expires_at: Mapped[datetime]
    tenant: Mapped[int] = mapped_column(Integer)
    subject: Mapped[str]
    key_id: Mapped[str | None]  #: of the API key; None: an OpenID provider has signed in
    name: Mapped[str | None]  #: of the person
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))  #: those at the sign-in at a provider; {}: of an API key


class AuditRow(Base):
    """An entry of the audit log: only ever inserted."""

    __tablename__ = "audit_entries"
    __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)  #: a UUIDv7
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    subject: Mapped[str]  #: who did it
    address: Mapped[str]
    request_id: Mapped[str]
    action: Mapped[str]
    thing: Mapped[str]  #: the id or the name of what was changed
    details: Mapped[Json]

"""Webhooks: endpoints, their secrets, and how far the controller has looked for ends without a settle."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, LargeBinary, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class WebhookEndpoint(Base):
    """A receiver of events. Workers write its circuit."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("max_attempts BETWEEN 1 AND 1000", name="max_attempts_range"),
        CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_together"),
        Index("webhook_endpoints_tenant_id", "tenant", "id"),
        Index("webhook_endpoints_default", "tenant", unique=True, postgresql_where=text("is_default")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    rev: Mapped[int] = mapped_column(server_default=text("1"))  #: of what clients change: its ETag
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    max_attempts: Mapped[int] = mapped_column(SmallInteger)  #: of each delivery
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))  #: in a row
    failing_since: Mapped[datetime | None]  #: the first of them
    open_until: Mapped[datetime | None]  #: until then its deliveries wait; later one tries
    last_success_at: Mapped[datetime | None]  #: stored every ten seconds at most
    last_failure_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    is_default: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: of jobs that name none
    include_result: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    url: Mapped[str]
    description: Mapped[str] = mapped_column(Text, server_default=text("''"))
    events: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  #: None: all
    created_by: Mapped[str | None]  #: None: callers are not authenticated
    disabled_reason: Mapped[str | None]
    last_failure: Mapped[str | None]


class WebhookSecret(Base):
    """A secret of an endpoint, encrypted. The API writes it, and only workers read it."""

    __tablename__ = "webhook_secrets"

    endpoint: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    expires_at: Mapped[datetime | None]  #: None: it is the newest one
    secret: Mapped[bytes] = mapped_column(LargeBinary)


class WebhookSweep(Base):
    """The time up to which the controller has found every unsuccessful end of a tenant's jobs."""

    __tablename__ = "webhook_sweeps"

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    place: Mapped[datetime]

"""Policies of queues: a pause, and limits."""

from datetime import datetime

from sqlalchemy import Boolean, Computed, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class QueuePolicyRow(Base):
    """The policy of a tenant for its jobs in a queue, or that of the operators for all jobs in it.

    Claims of a queue without a policy in force do not look further.
    """

    __tablename__ = "queue_policies"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)

    queue: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))  #: 0: of all tenants
    rev: Mapped[int]  #: its ETag; microseconds, so that a row that is created again gets a later one
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    paused_at: Mapped[datetime | None]  #: None: not paused
    in_force: Mapped[bool | None] = mapped_column(Boolean, Computed("paused_at IS NOT NULL", persisted=True))
    changed_by: Mapped[str | None]  #: None: callers are not authenticated

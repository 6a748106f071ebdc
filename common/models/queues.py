"""Policies of queues: a pause, and limits."""

from datetime import datetime

from sqlalchemy import Boolean, CheckConstraint, Computed, Double, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class QueuePolicyRow(Base):
    """The policy of a tenant for its jobs in a queue, or that of the operators for all jobs in it.

    Claims of a queue without a policy in force do not look further.
    """

    __tablename__ = "queue_policies"
    __table_args__ = (
        CheckConstraint("concurrency > 0", name="concurrency_positive"),
        CheckConstraint("rate > 0", name="rate_positive"),
        CheckConstraint("(rate IS NULL) = (burst IS NULL) AND burst >= 1", name="rate_has_burst"),
        {"postgresql_with": {"fillfactor": "20"}},
    )

    queue: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))  #: 0: of all tenants
    rev: Mapped[int]  #: its ETag; microseconds, so that a row that is created again gets a later one
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    paused_at: Mapped[datetime | None]  #: None: not paused
    rate: Mapped[float | None] = mapped_column(Double)  #: jobs a second; None: any number
    burst: Mapped[float | None] = mapped_column(Double)  #: the most tokens that the bucket has
    tokens: Mapped[float] = mapped_column(Double, server_default=text("0"))  #: at `filled_at`; a claim pays with them
    filled_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    concurrency: Mapped[int | None] = mapped_column(Integer)  #: jobs at once; None: any number
    in_force: Mapped[bool | None] = mapped_column(
        Boolean, Computed("num_nonnulls(paused_at, concurrency, rate) > 0", persisted=True)
    )
    changed_by: Mapped[str | None]  #: None: callers are not authenticated


class QueueSlot(Base):
    """A job that may run at the same time as others, by the limit of a policy. Free unless a worker has it.

    The rows of a limit are made with it, and stay.
    """

    __tablename__ = "queue_slots"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)

    queue: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    n: Mapped[int] = mapped_column(Integer, primary_key=True)  #: from 1; those above the limit are not taken
    worker: Mapped[int | None]  #: who has it

"""Policies of queues: a pause, and limits."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Computed, Double, Index, Integer, Uuid, text
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
        CheckConstraint("key_concurrency > 0", name="key_concurrency_positive"),
        CheckConstraint("key_rate > 0", name="key_rate_positive"),
        CheckConstraint("(key_rate IS NULL) = (key_burst IS NULL) AND key_burst >= 1", name="key_rate_has_burst"),
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
    key_rate: Mapped[float | None] = mapped_column(Double)  #: as `rate`, of each concurrency key
    key_burst: Mapped[float | None] = mapped_column(Double)
    concurrency: Mapped[int | None] = mapped_column(Integer)  #: jobs at once; None: any number
    key_concurrency: Mapped[int | None] = mapped_column(Integer)  #: of each concurrency key
    events: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: True: its jobs are in the feed
    managed: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: a file declares its limits
    in_force: Mapped[bool | None] = mapped_column(
        Boolean, Computed("num_nonnulls(paused_at, concurrency, rate, key_concurrency, key_rate) > 0", persisted=True)
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


class ConcurrencyKeyRow(Base):
    """A concurrency key of a queue: who has its places, and its tokens.

    A holder counts while its job is claimed. The controller deletes keys that have not been used for a while.
    """

    __tablename__ = "concurrency_keys"
    __table_args__ = (
        Index("concurrency_keys_filled_at", "filled_at"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    filled_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    tokens: Mapped[float | None] = mapped_column(Double)  #: at `filled_at`; None: as many as there can be
    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    queue: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))  #: jobs that got a place

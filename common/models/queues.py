"""Policies of queues, and the feed of changes of their jobs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    CheckConstraint,
    Computed,
    Double,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Uuid,
    text,
)
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


class FeedChange(Base):
    """A change of a job that has no number yet. Triggers of `live` insert it; a reader of the feed numbers it."""

    __tablename__ = "feed_changes"
    __table_args__ = (
        PrimaryKeyConstraint("tenant", "id"),
        {
            "postgresql_with": {
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "5000",
                "autovacuum_vacuum_cost_delay": "0",
                "autovacuum_vacuum_insert_threshold": "-1",
            }
        },
    )

    id: Mapped[int] = mapped_column(Identity(always=True))  #: in the order of a job's changes
    job: Mapped[UUID]
    rev: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    due_at: Mapped[datetime | None]  #: of a scheduled job, or one that waits for a retry
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    run: Mapped[int] = mapped_column(SmallInteger)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    parked: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    status: Mapped[str | None]  #: None: the run has ended, and its outcome says how
    queue: Mapped[str]


class FeedPage(Base):
    """Changes of a tenant's jobs with successive numbers."""

    __tablename__ = "feed_pages"
    __table_args__ = (PrimaryKeyConstraint("tenant", "last_number"),)

    last_number: Mapped[int]
    first_number: Mapped[int]
    numbered_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  #: as clients read them


class Feed(Base):
    """The change feed of a tenant. The lock of its row orders those that number changes."""

    __tablename__ = "feeds"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)

    last_number: Mapped[int] = mapped_column(server_default=text("0"))  #: of its newest change with a number
    deleted_to: Mapped[int] = mapped_column(server_default=text("0"))  #: changes up to it are deleted
    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))

"""The change feed: changes of jobs of followed queues, before and after they have numbers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, Identity, Integer, PrimaryKeyConstraint, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


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

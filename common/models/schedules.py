"""Schedules, and what became of each of their instants."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Double, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Schedule(Base):
    """A schedule. The controller locks this row, and stores its fires, their jobs and `next_at` in one transaction."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("tenant", "name", name="schedules_tenant_name_key"),
        CheckConstraint("num_nonnulls(cron, every_s, at) = 1", name="one_timing"),
        CheckConstraint("every_s > 0", name="every_positive"),
        CheckConstraint("overlap IN ('allow', 'skip', 'queue', 'cancel_old')", name="overlap_known"),
        CheckConstraint("catch_up IN ('none', 'last', 'all')", name="catch_up_known"),
        Index("schedules_due", "due_at", postgresql_where=text("NOT paused")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    rev: Mapped[int] = mapped_column(server_default=text("1"))  #: of what clients change: its ETag
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    catch_up_max_runs: Mapped[int] = mapped_column(Integer)  #: of the catch-up policy `all`
    catch_up_within_s: Mapped[float] = mapped_column(Double)  #: an instant that is later gets no job
    jitter_s: Mapped[float] = mapped_column(Double)  #: largest delay of an instant
    every_s: Mapped[float | None] = mapped_column(Double)  #: it has this interval, a cron expression or a time
    at: Mapped[datetime | None]  #: its only instant
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]  #: the first instant that is not decided; None: there are no more
    due_at: Mapped[datetime | None]  #: when the controller has to look at it; None: never
    pending_at: Mapped[datetime | None]  #: an instant that waits for the end of the last job
    last_at: Mapped[datetime | None]  #: the last instant that is decided
    last_job: Mapped[UUID | None]
    managed: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: a file declares it
    paused: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    name: Mapped[str]
    created_by: Mapped[str | None]  #: None: callers are not authenticated
    cron: Mapped[str | None]
    zone: Mapped[str]  #: IANA time zone of `cron`
    overlap: Mapped[str]
    catch_up: Mapped[str]
    job: Mapped[Json]  #: the submission of each job


class ScheduleFire(Base):
    """The outcome of an instant of a schedule, or of several that were missed one after the other.

    Rows of a deleted schedule stay until their retention, like all others.
    """

    __tablename__ = "schedule_fires"
    __table_args__ = (
        CheckConstraint("outcome IN ('fired', 'skipped', 'missed', 'refused')", name="outcome_known"),
        CheckConstraint("(outcome = 'fired') = (job IS NOT NULL)", name="fired_has_job"),
        Index("schedule_fires_fired_at", "fired_at"),
        Index("schedule_fires_tenant", "tenant", postgresql_where=text("tenant <> 1")),
    )

    schedule: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)  #: the instant, without jitter
    fired_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    through: Mapped[datetime | None]  #: of missed instants: the last one; None: there is one
    job: Mapped[UUID | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]

"""Actions on all jobs that match a filter, and what each did to which job."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, SmallInteger, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json

_ACTIVE = "phase IN ('RUNNING', 'UNDOING')"


class Action(Base):
    """An action, and how far it is. The controller changes it together with the jobs of each step, under the lock of this row."""

    __tablename__ = "actions"
    __table_args__ = (
        CheckConstraint("kind IN ('cancel', 'retry', 'reprioritise')", name="kind_known"),
        CheckConstraint("phase IN ('PREVIEW', 'RUNNING', 'STOPPED', 'DONE', 'UNDOING', 'UNDONE', 'EXPIRED')", name="phase_known"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        CheckConstraint("(kind = 'reprioritise') = (priority IS NOT NULL)", name="reprioritise_has_priority"),
        Index("actions_active", "id", postgresql_where=text(_ACTIVE)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))  #: when its phase did
    started_at: Mapped[datetime | None]  #: first
    as_of: Mapped[datetime]  #: jobs that came later are never touched; by the database's clock
    place: Mapped[UUID | None]  #: the job up to which it has come; None: it begins
    passed: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))  #: before that place, whose turn comes next: their rows were locked
    count: Mapped[int]  #: jobs that matched as it was made
    matched: Mapped[int] = mapped_column(server_default=text("0"))  #: jobs that have had their turn
    done: Mapped[int] = mapped_column(server_default=text("0"))  #: of these, that were changed
    asked: Mapped[int] = mapped_column(server_default=text("0"))  #: of these, that ran and were asked to stop
    undone: Mapped[int] = mapped_column(server_default=text("0"))  #: of what was done
    rate: Mapped[int] = mapped_column(Integer)  #: most jobs in a second
    priority: Mapped[int | None] = mapped_column(SmallInteger)  #: that jobs get
    exact: Mapped[bool] = mapped_column(Boolean)  #: whether all of `count` were counted
    kind: Mapped[str]
    phase: Mapped[str] = mapped_column(server_default=text("'PREVIEW'"))
    filter: Mapped[Json]
    sample: Mapped[Json]  #: the first jobs that matched
    skipped: Mapped[Json]  #: by reason, how many that matched were left as they are
    not_undone: Mapped[Json]  #: by reason, how many of what was done were not undone
    error: Mapped[str | None]  #: that stopped it


class ActionJob(Base):
    """A job that an action changed, and what it was before; goes with its action."""

    __tablename__ = "action_jobs"

    action: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    pos: Mapped[datetime | None]  #: of a job that waited and was cancelled; None: of one that ran, or of another kind of action
    epoch: Mapped[int] = mapped_column(SmallInteger)  #: that was cancelled, made, or has another priority since
    priority: Mapped[int | None] = mapped_column(SmallInteger)  #: before; None: as `pos`
    crashes: Mapped[int | None] = mapped_column(SmallInteger)
    alone: Mapped[bool | None] = mapped_column(Boolean)
    needs: Mapped[str | None]

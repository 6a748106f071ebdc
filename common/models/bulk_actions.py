"""Bulk actions on all jobs that match a filter, and the jobs that each has changed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, SmallInteger, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json

_ACTIVE = "phase IN ('RUNNING', 'UNDOING')"


class BulkAction(Base):
    """A bulk action and its progress.

    The controller locks this row for each step, and updates it in the transaction that changes the jobs of the step.
    """

    __tablename__ = "bulk_actions"
    __table_args__ = (
        CheckConstraint("kind IN ('cancel', 'retry', 'reprioritise')", name="kind_known"),
        CheckConstraint(
            "phase IN ('PREVIEW', 'RUNNING', 'STOPPED', 'DONE', 'UNDOING', 'UNDONE', 'EXPIRED')", name="phase_known"
        ),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        CheckConstraint("first > 0", name="first_positive"),
        CheckConstraint("(kind = 'reprioritise') = (priority IS NOT NULL)", name="reprioritise_has_priority"),
        Index("bulk_actions_active", "id", postgresql_where=text(_ACTIVE)),
        Index("bulk_actions_previews", "tenant", "created_at", postgresql_where=text("phase = 'PREVIEW'")),
        Index("bulk_actions_tenant_id", "tenant", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))  #: when its phase changed
    started_at: Mapped[datetime | None]  #: for the first time
    stepped_at: Mapped[datetime | None]  #: when the controller last tried a step; None: not yet
    as_of: Mapped[datetime]  #: jobs created later are never changed; by the database's clock
    position: Mapped[UUID | None]  #: last job that its scan has read; None: not begun
    #: jobs before `position` that were locked by other transactions; the next step retries them
    locked: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    count: Mapped[int]  #: jobs that matched at the preview
    matched: Mapped[int] = mapped_column(server_default=text("0"))  #: matching jobs that steps have handled
    done: Mapped[int] = mapped_column(server_default=text("0"))  #: of `matched`, changed jobs
    #: of `matched`, running jobs that were asked to stop
    cancels_requested: Mapped[int] = mapped_column(server_default=text("0"))
    undone: Mapped[int] = mapped_column(server_default=text("0"))  #: of `done`, jobs whose change was undone
    jobs_per_second: Mapped[int] = mapped_column(Integer)  #: limit of its rate
    #: the new priority of the jobs; None: not a reprioritise
    priority: Mapped[int | None] = mapped_column(SmallInteger)
    count_is_exact: Mapped[bool] = mapped_column(Boolean)  #: False: `count` is an estimate
    kind: Mapped[str]
    phase: Mapped[str] = mapped_column(server_default=text("'PREVIEW'"))
    filter: Mapped[Json]
    sample: Mapped[Json]  #: the first matching jobs, at the preview
    skipped: Mapped[Json]  #: by reason, the number of matching jobs that were not changed
    not_undone: Mapped[Json]  #: by reason, the number of changed jobs that could not be undone
    error: Mapped[str | None]  #: the error that stopped it
    first: Mapped[int | None]  #: it stops by itself once it has changed so many jobs; None: it goes on
    preview: Mapped[Json | None]  #: more of the preview: other samples, and what would be skipped
    created_by: Mapped[str | None]  #: the subject that asked for the preview; None: not authenticated
    started_by: Mapped[str | None]  #: the subject that started it first


class BulkActionJob(Base):
    """A job that a bulk action has changed, with the values from before, for the undo. Deleted with its bulk action."""

    __tablename__ = "bulk_action_jobs"

    bulk_action: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    claimable_at: Mapped[datetime | None]  #: of a cancelled waiting job; None for any other
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    run: Mapped[int] = mapped_column(SmallInteger)  #: the run that was cancelled, started, or reprioritised
    #: before; None if `claimable_at` is None, unless reprioritised
    priority: Mapped[int | None] = mapped_column(SmallInteger)
    crashes: Mapped[int | None] = mapped_column(SmallInteger)
    isolated: Mapped[bool | None] = mapped_column(Boolean)
    needs: Mapped[str | None]

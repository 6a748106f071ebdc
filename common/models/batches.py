"""Batches of jobs, and workflows: a workflow is a batch whose jobs name those for which they wait."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Batch(Base):
    """A batch: the jobs whose ids are above its own and up to `last`. Their rows do not name it."""

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("jobs BETWEEN 0 AND numbers AND numbers < 4294967296", name="numbers_range"),
        CheckConstraint("ended_at IS NULL OR closed_at IS NOT NULL", name="ended_is_closed"),
        CheckConstraint("(failed IS NULL) = (cancelled IS NULL)", name="counts_together"),
        Index("batches_active", "id", postgresql_where=text("failed IS NULL")),
        Index("batches_tenant_id", "tenant", "id"),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    last: Mapped[UUID]  #: highest id that a job of the batch can have
    place: Mapped[UUID]  #: no job of the batch with a lower id is unfinished
    #: of a large batch: from this id on few jobs have ended, before it few are unfinished. Any id makes exact counts
    frontier: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    closed_at: Mapped[datetime | None]  #: from then on no job can be added
    ended_at: Mapped[datetime | None]  #: when the follow-up was stored: for the first time closed, without a live job
    cancelled_at: Mapped[datetime | None]  #: of the newest request
    jobs: Mapped[int] = mapped_column(server_default=text("0"))  #: that are stored
    numbers: Mapped[int] = mapped_column(server_default=text("0"))  #: that were given to jobs, stored or not
    #: FAILED jobs when the last one had ended; None: some may be unfinished
    failed: Mapped[int | None]
    cancelled: Mapped[int | None]  #: the same of CANCELLED jobs
    gone: Mapped[int] = mapped_column(server_default=text("0"))  #: ended jobs that retention has deleted by row
    gone_failed: Mapped[int] = mapped_column(server_default=text("0"))  #: of `gone`, FAILED ones
    gone_cancelled: Mapped[int] = mapped_column(server_default=text("0"))  #: of `gone`, CANCELLED ones
    rev: Mapped[int] = mapped_column(server_default=text("0"))  #: counts the changes of this row that clients see
    follow_up_job: Mapped[UUID | None]  #: the job that was stored when the batch ended
    cancel_action: Mapped[UUID | None]  #: the bulk action of the newest cancel
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    #: a job of the batch was retried by request, so it may have several outcomes
    retried: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    #: a workflow: its jobs wait for each other
    is_workflow: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    submitted_by: Mapped[str | None]
    follow_up: Mapped[Json | None]  #: the follow-up as a row of `jobs`, without its id
    webhook: Mapped[UUID | None]  #: the endpoint that is told of each end; None: nobody is


class AddedParents(Base):
    """Jobs that a running job has added to its workflow, for a job that waits for it: that waits for them too."""

    __tablename__ = "added_parents"

    child: Mapped[UUID] = mapped_column(primary_key=True)
    adder: Mapped[UUID] = mapped_column(primary_key=True)  #: the job that has added them
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    parents: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))

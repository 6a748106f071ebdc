"""A job that is not finished: one narrow row, found by its place in the queue."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Live(Base):
    """Not finished = has a row here. `worker` is set iff the job is IN_PROGRESS.

    The index covers every row and no column that a claim changes, so a claim is a HOT update; fillfactor 45 leaves room on
    the page for the second version of all its rows, which is longer by who holds it and since when. Autovacuum comes after
    5,000 dead rows whatever the size, and without pauses.
    """

    __tablename__ = "live"
    __table_args__ = (
        CheckConstraint("(worker IS NULL) = (started_at IS NULL)", name="held_has_start"),
        CheckConstraint("attempt >= 0 AND released BETWEEN 0 AND attempt", name="attempt_range"),
        CheckConstraint("progress BETWEEN 0 AND 1", name="progress_range"),
        Index("live_due", "queue", "priority", "pos", "id"),
        {
            "postgresql_with": {
                "fillfactor": "45",
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "5000",
                "autovacuum_vacuum_cost_delay": "0",
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pos: Mapped[datetime]  #: place in the queue: when it became, or becomes, claimable; by the database's clock
    started_at: Mapped[datetime | None]
    worker: Mapped[int | None]  #: the worker process that holds it
    rev: Mapped[int] = mapped_column(server_default=text("0"))  #: +1 in every change
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    progress: Mapped[float | None] = mapped_column(server_default=None)  #: 0 to 1, as the operation reports it
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: claims so far; with worker the fence of every write
    released: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: attempts given back; not charged
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    epoch: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: +1 on each explicit retry of a finished job, and on each undo of its cancel
    cancel: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: the running attempt is asked to stop
    queue: Mapped[str]
    progress_text: Mapped[str | None]
    needs: Mapped[str | None]  #: what a worker has to know: its operation, from the second version on with `@` and the version; None: written by old code
    alone: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: it may have taken a process down, and runs without neighbours since
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: attempts that have certainly taken their process down

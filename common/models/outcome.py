"""How a job ended. Append only; goes with its partition."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import REAL, CheckConstraint, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Outcome(Base):
    """The end of an epoch of a job, and the attempt that brought it."""

    __tablename__ = "outcomes"
    __table_args__ = (
        CheckConstraint("status IN ('SUCCESS', 'FAILED', 'CANCELLED')", name="status_known"),
        CheckConstraint("(status = 'SUCCESS') = (result IS NOT NULL)", name="success_has_result"),
        CheckConstraint("(status = 'FAILED') = (error_type IS NOT NULL)", name="failed_has_error"),
        # To list them by. What succeeds, which is nearly everything, does not enter: an index that it does costs 2 to 5 % of the jobs/s.
        Index("outcomes_unsuccessful_id", "id", postgresql_where=text("status <> 'SUCCESS'")),
        Index("outcomes_unsuccessful_finished_at", "finished_at", "id", postgresql_where=text("status <> 'SUCCESS'")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger)
    released: Mapped[int] = mapped_column(SmallInteger)
    rev: Mapped[int]
    worker: Mapped[int | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    status: Mapped[str]
    result: Mapped[Json | None]
    error_type: Mapped[str | None]
    error_text: Mapped[str | None]
    run_s: Mapped[float | None] = mapped_column(REAL)  #: in the operation; the rest of the time is overhead. None: nobody saw it
    cpu_s: Mapped[float | None] = mapped_column(REAL)  #: of its process meanwhile
    peak_mib: Mapped[float | None] = mapped_column(REAL)  #: most memory that its process had while its batch ran

"""Attempts that did not end their job. Append only; goes with its partition."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import REAL, CheckConstraint, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Attempt(Base):
    """An attempt that was retried, lost or given back. The one that ended the job is in its outcome."""

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("ended IN ('error', 'permanent', 'timeout', 'lost', 'released')", name="ended_known"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    worker: Mapped[int]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    retry_at: Mapped[datetime]  #: when the job could be claimed again
    ended: Mapped[str]  #: error, timeout, lost or released
    error_type: Mapped[str]
    error_text: Mapped[str]
    run_s: Mapped[float | None] = mapped_column(REAL)  #: in the operation; the rest of the time is overhead. None: nobody saw it
    cpu_s: Mapped[float | None] = mapped_column(REAL)  #: of its process meanwhile
    peak_mib: Mapped[float | None] = mapped_column(REAL)  #: most memory that its process had while its batch ran

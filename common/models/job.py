"""What was submitted. Never updated, but for an input that is removed; goes with its partition, or at a time of its own."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Job(Base):
    """A submission. A UUIDv7 begins with its time, so the partition is found from the id alone."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        CheckConstraint("max_attempts BETWEEN 1 AND 1000", name="max_attempts_range"),
        CheckConstraint("timeout_ms > 0", name="timeout_positive"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    run_at: Mapped[datetime | None]  #: not before; None: at once
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))  #: one until tenants come
    timeout_ms: Mapped[int | None] = mapped_column(Integer)  #: limit of one attempt; None: no limit
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))  #: 0 is taken first
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    queue: Mapped[str]
    operation: Mapped[str]
    trace: Mapped[str | None]  #: W3C traceparent of the request
    #: as it was sent; json and not jsonb: kept to the letter, a third less to write. None: removed after the job's end
    input: Mapped[Json | None]
    deadline: Mapped[datetime | None]  #: ended by then, or it ends FAILED; None: no such limit
    retry_base_s: Mapped[float | None]  #: None: as its operation
    retry_cap_s: Mapped[float | None]
    keep_s: Mapped[int | None] = mapped_column(Integer)  #: kept for so long after its end; None: as the operator says
    version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  #: of its operation
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    metadata_: Mapped[Json | None] = mapped_column("metadata")  #: the client's own; returned as it was sent
    unique_key: Mapped[str | None]
    unique_while: Mapped[str | None]  #: waiting, running or both

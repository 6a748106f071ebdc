"""Worker processes and their leases, the lease of the leading controller, the operations."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Worker(Base):
    """A worker process and its lease. A renewal updates this row alone, however many jobs the process holds."""

    __tablename__ = "workers"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)  # a renewal stays on its page

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    alive_until: Mapped[datetime]  #: the end of the lease; renewed by the parent
    ended_at: Mapped[datetime | None]  #: set once; its jobs have been released
    #: since when its longest running job has run, at the last renewal; None: it is idle
    busy_since: Mapped[datetime | None]
    pid: Mapped[int] = mapped_column(Integer)
    held_jobs: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: at the last renewal
    host: Mapped[str]
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    operations: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: by queue and priority: claimable_at
    low_water_marks: Mapped[dict[str, dict[str, str]]] = mapped_column(JSONB, server_default=text("'{}'"))
    #: by queue, priority and tenant: claimable_at; tenant 0: all without a mark of their own. Empty: it does not claim
    #: by line
    line_marks: Mapped[dict[str, dict[str, dict[str, str]]]] = mapped_column(JSONB, server_default=text("'{}'"))
    #: jobs that the worker has finished: Unix minute, queue, succeeded and failed; in one row of each worker
    finished_by_minute: Mapped[dict[str, dict[str, list[int]]]] = mapped_column(JSONB, server_default=text("'{}'"))


class Leader(Base):
    """The lease of the leading controller. It is a row, not a lock, so it works through any connection pooler."""

    __tablename__ = "leaders"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    term: Mapped[int]  #: +1 with each new holder
    until: Mapped[datetime]


class OperationRow(Base):
    """An operation's defaults and input schema. Workers write them; API and controller read them."""

    __tablename__ = "operations"
    __table_args__ = (CheckConstraint("name ~ '^[a-z0-9_.]{1,64}$'", name="name_form"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    #: when a worker last knew it, to within minutes
    seen_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    retry_base_s: Mapped[float]
    retry_cap_s: Mapped[float]
    timeout_ms: Mapped[int | None] = mapped_column(Integer)
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    queue: Mapped[str]
    description: Mapped[str]
    input_schema: Mapped[Json] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  #: the version of new submissions
    #: the oldest version whose jobs it still runs
    oldest_version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))  #: those that a submission may name
    output_schema: Mapped[Json] = mapped_column(JSONB)

"""Worker processes and their leases."""

from datetime import datetime

from sqlalchemy import Identity, Integer, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Worker(Base):
    """A process that runs jobs. The lease is the process's: one row renewed, however many jobs it holds."""

    __tablename__ = "workers"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)  # a renewal stays on its page

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    alive_until: Mapped[datetime]  #: the end of the lease; renewed by the parent
    ended_at: Mapped[datetime | None]  #: set once and for ever: its jobs have been given back
    pid: Mapped[int] = mapped_column(Integer)
    busy: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))  #: jobs in its hands at the last renewal
    host: Mapped[str]
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    operations: Mapped[list[str]] = mapped_column(ARRAY(Text))
    low: Mapped[dict[str, dict[str, str]]] = mapped_column(JSONB, server_default=text("'{}'"))  #: low-water marks: queue, priority, pos
    #: what the worker has finished: Unix minute, queue, succeeded and failed; on one row of each worker
    recent: Mapped[dict[str, dict[str, list[int]]]] = mapped_column(JSONB, server_default=text("'{}'"))

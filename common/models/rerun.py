"""Further epochs of finished jobs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Rerun(Base):
    """A further epoch of a job, by an explicit retry or by the undo of an action, with the input that it got; earlier epochs keep theirs."""

    __tablename__ = "reruns"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    input: Mapped[Json | None]  #: None: that of the epoch before
    undo: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))  #: it goes on as it was before it was cancelled; False: it begins anew

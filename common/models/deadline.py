"""When jobs have to have ended: rows only for jobs that have a deadline."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Deadline(Base):
    """A deadline that the controller has not looked at yet."""

    __tablename__ = "deadlines"
    __table_args__ = (Index("deadlines_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]

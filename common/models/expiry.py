"""When jobs that have a time of their own to be kept may go: rows only for such jobs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Expiry(Base):
    """A job that goes by its own time. While its row is here retention leaves the job alone; the two go together."""

    __tablename__ = "expiries"
    __table_args__ = (Index("expiries_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]  #: when the controller looks at it next

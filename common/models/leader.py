"""Which controller leads."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Leader(Base):
    """A lease by row: holds through any connection pooler. `term` grows with each change of holder."""

    __tablename__ = "leaders"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    term: Mapped[int]
    until: Mapped[datetime]

"""Tags of jobs, to find them by. Goes with its partition."""

from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Tag(Base):
    """One tag of one job."""

    __tablename__ = "tags"
    __table_args__ = (Index("tags_tag_id", "tag", "id"), {"postgresql_partition_by": "RANGE (id)"})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)

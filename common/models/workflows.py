"""Workflows. Each has a row in `batches`; its jobs name those for which they wait."""

from uuid import UUID

from sqlalchemy import Integer, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class AddedParents(Base):
    """Jobs that a running job has added to its workflow, for a job that waits for it: that waits for them too."""

    __tablename__ = "added_parents"

    child: Mapped[UUID] = mapped_column(primary_key=True)
    adder: Mapped[UUID] = mapped_column(primary_key=True)  #: the job that has added them
    tenant: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    parents: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))

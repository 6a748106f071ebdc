"""The operations that workers have shown to know."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base, Json


class Operation(Base):
    """An operation's defaults and schema: written by workers as they start, read by the API and the controller."""

    __tablename__ = "operations"
    __table_args__ = (CheckConstraint("name ~ '^[a-z0-9_.]{1,64}$'", name="name_form"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    retry_base_s: Mapped[float]
    retry_cap_s: Mapped[float]
    timeout_ms: Mapped[int | None] = mapped_column(Integer)
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    queue: Mapped[str]
    description: Mapped[str]
    input_schema: Mapped[Json] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  #: what a submission of today gets
    since: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  #: the oldest version whose jobs it still runs

"""Keys: of requests that may come twice, and of jobs that may be there once."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Integer, LargeBinary, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Key(Base):
    """An idempotency key and the jobs that came of it."""

    __tablename__ = "keys"
    __table_args__ = (Index("keys_until", "until"),)

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    key: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]  #: the key is free again from then on
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))  #: in the order of its submissions
    digest: Mapped[bytes] = mapped_column(LargeBinary)  #: of the body: another body under the same key is refused


class Uniq(Base):
    """Who had a unique key last; it is held while that job is not finished, or as long as the job said."""

    __tablename__ = "uniq"

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]

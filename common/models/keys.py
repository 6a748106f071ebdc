"""Keys: idempotency keys of requests, unique keys of jobs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, Integer, LargeBinary, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class IdempotencyKeyRow(Base):
    """An idempotency key and the jobs that its request has inserted."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_until", "until"),)

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    key: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[datetime]  #: from then on the key is free again
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))  #: in the order of the submissions
    batch: Mapped[UUID | None]  #: the batch that its request has made
    digest: Mapped[bytes] = mapped_column(LargeBinary)  #: of the body: the same key with another body is refused


class UniqueKeyRow(Base):
    """The last holder of a unique key. Whether the job still holds the key depends on its state and `unique_while`."""

    __tablename__ = "unique_keys"

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=text("1"))
    key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID]

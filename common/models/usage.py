"""The usage of tenants, which their quotas limit."""

from datetime import datetime

from sqlalchemy import Identity, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class TenantUsage(Base):
    """The usage of a tenant, as the leading controller has counted it; written only where a number has changed."""

    __tablename__ = "tenant_usage"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    tenant: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    waiting: Mapped[int] = mapped_column(server_default=text("0"))  #: unfinished jobs that do not run
    running: Mapped[int] = mapped_column(server_default=text("0"))
    bytes: Mapped[int] = mapped_column(server_default=text("0"))  #: the sum of its rows in stored_bytes
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))  #: its last change


class UsageCount(Base):
    """The time of the last count of one kind of usage, of all tenants with a quota: of `jobs`, or of `bytes`."""

    __tablename__ = "usage_counts"
    __table_args__ = ({"postgresql_with": {"fillfactor": "20"}},)

    what: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]  #: what was committed before is in the numbers


class StoredBytes(Base):
    """Bytes of inputs and metadata that a tenant has stored in an hour; negative: those that retention has deleted.

    Append-only. The controller adds up the rows of past hours.
    """

    __tablename__ = "stored_bytes"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    hour: Mapped[datetime]  #: of the submission of the jobs
    bytes: Mapped[int]
    tenant: Mapped[int] = mapped_column(Integer)

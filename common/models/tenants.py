"""Tenants: whose jobs are whose, the share of each, and its quotas."""

from datetime import datetime

from sqlalchemy import REAL, CheckConstraint, Identity, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from common.models.base import Base


class Tenant(Base):
    """A tenant: the owner of jobs and of all that belongs to them. Number 1, `default`, is there from the start."""

    __tablename__ = "tenants"
    __table_args__ = (
        UniqueConstraint("name", name="tenants_name_key"),
        CheckConstraint("state IN ('ACTIVE', 'SUSPENDED', 'DRAINING', 'REMOVING')", name="state_known"),
        CheckConstraint("weight > 0 AND weight <= 1000", name="weight_range"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=text("'ACTIVE'"))  #: jobs of a SUSPENDED one are not claimed
    #: its share of the workers while others wait too, in proportion to theirs
    weight: Mapped[float] = mapped_column(REAL, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    changed_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    max_waiting_jobs: Mapped[int | None]  #: quotas; None: no limit
    max_running_jobs: Mapped[int | None] = mapped_column(Integer)
    max_jobs_per_minute: Mapped[int | None] = mapped_column(Integer)
    max_stored_bytes: Mapped[int | None]
    max_webhooks: Mapped[int | None] = mapped_column(Integer)
    max_schedules: Mapped[int | None] = mapped_column(Integer)

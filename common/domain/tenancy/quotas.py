"""Quotas of tenants: how many jobs may wait, run and be submitted a minute, and how many bytes may be stored."""

from dataclasses import dataclass
from enum import StrEnum


class Quota(StrEnum):
    """A quota of a tenant. Names are on the wire."""

    WAITING_JOBS = "waiting_jobs"  #: unfinished jobs that do not run
    RUNNING_JOBS = "running_jobs"  #: enforced by the workers, as they claim jobs; submissions never exceed it
    JOBS_PER_MINUTE = "jobs_per_minute"  #: submitted and manually retried jobs
    STORED_BYTES = "stored_bytes"  #: inputs and metadata of all jobs that retention has not deleted, as JSON text


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """The quotas of a tenant; None: no limit."""

    waiting_jobs: int | None = None
    running_jobs: int | None = None
    jobs_per_minute: int | None = None
    stored_bytes: int | None = None

    def of(self, quota: Quota) -> int | None:
        """Return one of the quotas."""
        limit: int | None = getattr(self, quota)
        return limit

    def or_default(self, default: "QuotaLimits") -> "QuotaLimits":
        """Return the quotas, with those of `default` where this tenant has none."""
        own = {quota: self.of(quota) for quota in Quota}
        return QuotaLimits(
            **{str(quota): default.of(quota) if limit is None else limit for quota, limit in own.items()}
        )

    @property
    def is_unlimited(self) -> bool:
        """True if there is no quota at all."""
        return all(self.of(quota) is None for quota in Quota)


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """The usage of a tenant, as it was counted last."""

    waiting_jobs: int = 0
    running_jobs: int = 0
    stored_bytes: int = 0

"""The usage of a tenant and its quotas, as clients see them."""

from pydantic import BaseModel, Field

from common.domain.tenancy.quotas import Quota, QuotaLimits, TenantUsage


class QuotaView(BaseModel):
    """One quota of a tenant, and what it uses of it."""

    limit: int | None = Field(
        description="The largest number that is allowed; null: there is no limit.", examples=[1_000]
    )
    used: int | None = Field(
        description="The number that is used, a second or two old, of bytes a minute or two; null: it is not counted, "
        "because the tenant has no such quota. Waiting jobs are counted up to the limit. Of `jobs_per_minute`, what "
        "this API process knows of the last minute.",
        examples=[42],
    )


class TenantUsageView(BaseModel):
    """The quotas of the caller's tenant, and what it uses of them."""

    tenant: str = Field(description="The name of the tenant.", examples=["default"])
    quotas: dict[Quota, QuotaView] = Field(
        description="By quota: `waiting_jobs` are unfinished jobs that do not run, `running_jobs` those that run, "
        "`jobs_per_minute` the submitted and manually retried ones, `stored_bytes` the inputs and metadata of all jobs "
        "that are kept, as JSON text."
    )
    schedules: QuotaView = Field(
        description="The schedules that requests have created. Those of the file of schedules do not count."
    )


def usage_view(
    tenant: str, limits: QuotaLimits, usage: TenantUsage, submitted: int | None, schedules: QuotaView
) -> TenantUsageView:
    """Return the view of a tenant. `submitted`: jobs within the last minute; None: not known."""
    used = {
        Quota.WAITING_JOBS: None if limits.waiting_jobs is None else usage.waiting_jobs,
        Quota.RUNNING_JOBS: None if limits.running_jobs is None else usage.running_jobs,
        Quota.JOBS_PER_MINUTE: submitted,
        Quota.STORED_BYTES: usage.stored_bytes,
    }
    return TenantUsageView(
        tenant=tenant,
        quotas={quota: QuotaView(limit=limits.of(quota), used=used[quota]) for quota in Quota},
        schedules=schedules,
    )

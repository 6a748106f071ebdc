"""Tenants: request bodies, validated, and responses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.web.problems import validated
from common.domain.tenancy.tenants import NAME_PATTERN, QUOTAS, Tenant, TenantState

PATH = "/tenants"
MAX_COUNT = (1 << 31) - 1
TenantName = Annotated[
    str, Field(pattern=f"^{NAME_PATTERN}$", description="The name of the tenant.", examples=["acme"])
]
_Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
_Large = Annotated[int, Field(strict=True, ge=0, lt=1 << 63)]
_Weight = Annotated[float, Field(strict=True, ge=0.001, le=1_000)]


_WAITING = "Unfinished jobs that do not run. Null: JOBPROC_DEFAULT_MAX_WAITING_JOBS."
_RUNNING = "Jobs that run at the same time. Null: JOBPROC_DEFAULT_MAX_RUNNING_JOBS."
_PER_MINUTE = "Submitted jobs a minute. Null: JOBPROC_DEFAULT_MAX_JOBS_PER_MINUTE."
_BYTES = "Bytes of its stored jobs. Null: JOBPROC_DEFAULT_MAX_STORED_BYTES."
_WEBHOOKS, _SCHEDULES = "Webhooks. Null: no limit.", "Schedules. Null: JOBPROC_DEFAULT_MAX_SCHEDULES."


class TenantChangeBody(BaseModel):
    """A change of a tenant."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"weight": 2, "max_waiting_jobs": 100_000}]}
    )

    weight: _Weight = Field(
        1.0, description="Its share of the workers while others wait too, in proportion to theirs. Default: 1."
    )
    max_waiting_jobs: _Large | None = Field(None, description=_WAITING)
    max_running_jobs: _Count | None = Field(None, description=_RUNNING)
    max_jobs_per_minute: _Count | None = Field(None, description=_PER_MINUTE)
    max_stored_bytes: _Large | None = Field(None, description=_BYTES)
    max_webhooks: _Count | None = Field(None, description=_WEBHOOKS)
    max_schedules: _Count | None = Field(None, description=_SCHEDULES)


class TenantBody(TenantChangeBody):
    """A new tenant."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "acme", "weight": 2}]})

    name: TenantName = Field(description="The name of the tenant: lower-case letters, digits and hyphens.")


class TenantView(BaseModel):
    """A tenant."""

    name: str = Field(examples=["acme"])
    state: TenantState
    weight: float = Field(description="Its share of the workers while others wait too, in proportion to theirs.")
    created_at: datetime
    changed_at: datetime = Field(description="When its state, weight or quotas last changed.")
    max_waiting_jobs: int | None = Field(description=_WAITING)
    max_running_jobs: int | None = Field(description=_RUNNING)
    max_jobs_per_minute: int | None = Field(description=_PER_MINUTE)
    max_stored_bytes: int | None = Field(description=_BYTES)
    max_webhooks: int | None = Field(description=_WEBHOOKS)
    max_schedules: int | None = Field(description=_SCHEDULES)


class TenantList(BaseModel):
    """A page of tenants, by name."""

    tenants: list[TenantView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class TenantListQuery(BaseModel):
    """The parameters of GET /tenants."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of tenants on a page. Default: 50.", examples=[50]
    )
    after: TenantName | None = Field(
        None, description="The name of the last tenant of the previous page.", examples=["acme"]
    )


def parse_new_tenant(body: Any) -> tuple[str, Mapping[str, float | None]]:
    """Return the name of a new tenant, and its weight and quotas. Raises ProblemError."""
    tenant = validated(TenantBody, body)
    return tenant.name, tenant.model_dump(exclude={"name"})


def parse_tenant_change(body: Any) -> Mapping[str, float | None]:
    """Return the weight and quotas that a body changes. Raises ProblemError."""
    return validated(TenantChangeBody, body).model_dump(exclude_unset=True)


def tenant_view(tenant: Tenant) -> TenantView:
    """Return a tenant as operators see it."""
    names = ("name", "state", "weight", "created_at", "changed_at", *QUOTAS)
    return TenantView(**{name: getattr(tenant, name) for name in names})

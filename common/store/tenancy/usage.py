"""Quotas and usage of tenants, as each API process reads them once a second; and the bytes that it has stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from common.domain.tenancy.quotas import QuotaLimits, TenantUsage
from common.store.connection.caller import caller_cte

# All tenants only if the settings limit those without quotas of their own ($1).
_READ = """
SELECT t.id, t.max_waiting_jobs, t.max_running_jobs, t.max_jobs_per_minute, t.max_stored_bytes,
       coalesce(u.waiting, 0) AS waiting, coalesce(u.running, 0) AS running, coalesce(u.bytes, 0) AS bytes
FROM tenants t LEFT JOIN tenant_usage u ON u.tenant = t.id
WHERE $1::boolean OR num_nonnulls(
    t.max_waiting_jobs, t.max_running_jobs, t.max_jobs_per_minute, t.max_stored_bytes) > 0
"""
_COUNTED = "SELECT what, extract(epoch FROM clock_timestamp() - at)::float8 FROM usage_counts"
_OF_TENANT = f"""
WITH {caller_cte("ARRAY[$1::integer]")}
SELECT t.id, t.max_waiting_jobs, t.max_running_jobs, t.max_jobs_per_minute, t.max_stored_bytes, t.max_schedules,
       coalesce(u.waiting, 0) AS waiting, coalesce(u.running, 0) AS running, coalesce(u.bytes, 0) AS bytes,
       (SELECT count(*) FROM schedules s WHERE s.tenant = t.id AND NOT s.managed) AS schedules
FROM caller CROSS JOIN tenants t LEFT JOIN tenant_usage u ON u.tenant = t.id WHERE t.id = $1
"""
# The tenants are those whose callers this process has served.
_ADD_BYTES = f"""
WITH {caller_cte("$4")}
INSERT INTO stored_bytes (tenant, hour, bytes)
SELECT d.* FROM caller CROSS JOIN unnest($1::integer[], $2::timestamptz[], $3::bigint[]) AS d
"""


@dataclass(frozen=True, slots=True)
class UsageReading:
    """The quotas and usage of tenants at one time."""

    tenants: Mapping[int, tuple[QuotaLimits, TenantUsage]]  #: of those with a quota, by number
    jobs_age_s: float | None  #: seconds since their jobs were counted; None: never
    bytes_age_s: float | None  #: seconds since their bytes were counted; None: never


@dataclass(frozen=True, slots=True)
class ScheduleUsage:
    """The schedules that requests of a tenant have created."""

    limit: int | None  #: None: the tenant has no quota of its own
    used: int


async def read(connection: asyncpg.Connection, default: QuotaLimits) -> UsageReading:
    """Return the tenants with a quota. `default`: the quotas of those that have none of their own."""
    rows = await connection.fetch(_READ, not default.is_unlimited)
    ages = {row[0]: row[1] for row in await connection.fetch(_COUNTED)} if rows else {}
    return UsageReading({row["id"]: _parts(row, default) for row in rows}, ages.get("jobs"), ages.get("bytes"))


async def of_tenant(
    connection: asyncpg.Connection, tenant: int, default: QuotaLimits
) -> tuple[QuotaLimits, TenantUsage, ScheduleUsage]:
    """Return the quotas and the usage of one tenant."""
    row = await connection.fetchrow(_OF_TENANT, tenant)
    if row is None:
        return default, TenantUsage(), ScheduleUsage(None, 0)
    return *_parts(row, default), ScheduleUsage(row["max_schedules"], row["schedules"])


async def add_bytes(connection: asyncpg.Connection, by_tenant_and_hour: Mapping[tuple[int, int], int]) -> None:
    """Store bytes by tenant and hour, the hour as a number since 1970. Not safe to repeat."""
    keys = list(by_tenant_and_hour)
    await connection.execute(
        _ADD_BYTES,
        [tenant for tenant, _ in keys],
        [datetime.fromtimestamp(hour * 3_600, UTC) for _, hour in keys],
        [by_tenant_and_hour[key] for key in keys],
        sorted({tenant for tenant, _ in keys}),
    )


def _parts(row: asyncpg.Record, default: QuotaLimits) -> tuple[QuotaLimits, TenantUsage]:
    own = QuotaLimits(
        row["max_waiting_jobs"], row["max_running_jobs"], row["max_jobs_per_minute"], row["max_stored_bytes"]
    )
    return own.or_default(default), TenantUsage(row["waiting"], row["running"], row["bytes"])

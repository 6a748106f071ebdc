"""Recent resource usage of each operation: percentiles of execution time, CPU time and memory."""

from dataclasses import dataclass

from sqlalchemy import Connection

from common.domain.job import first_job_id
from common.store.schema.partitions import DAY_MS
from common.store.tenancy.only_tenant import indexed, is_alone

SAMPLE = 5_000  # newest finished jobs that are read, of all operations together; beside other tenants: newest jobs
PERCENTILES = (0.5, 0.95, 0.99)

_ONLY_TENANT = """
    SELECT id, execution_s, cpu_s, peak_mib FROM outcomes
    WHERE id >= $1 AND tenant = $4 AND execution_s IS NOT NULL ORDER BY id DESC LIMIT $2
"""
# Not by `outcomes`, where the rows of others may be between any two of a tenant.
_ONE_OF_TENANTS = """
    SELECT o.* FROM (SELECT id FROM jobs WHERE tenant = $4{indexed} AND id >= $1 ORDER BY id DESC LIMIT $2) j
    CROSS JOIN LATERAL (
        SELECT id, execution_s, cpu_s, peak_mib FROM outcomes
        WHERE outcomes.id = j.id AND outcomes.tenant = $4 AND execution_s IS NOT NULL OFFSET 0) o
"""
_USAGE = """
WITH newest AS MATERIALIZED ({newest})
SELECT j.operation, count(*), percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.execution_s),
       percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.cpu_s),
       percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.peak_mib)
FROM newest n CROSS JOIN LATERAL (SELECT operation FROM jobs WHERE jobs.id = n.id OFFSET 0) j GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class OperationUsage:
    """Resource usage in the last attempt of finished jobs; a value for each of PERCENTILES."""

    jobs: int  #: number of sampled jobs
    execution_s: list[float]
    cpu_s: list[float | None]
    peak_mib: list[float | None]


def read(connection: Connection, tenant: int, unix_ms: int) -> dict[str, OperationUsage]:
    """Return the usage by operation, of a tenant's newest finished jobs.

    They were submitted within a day before `unix_ms`. An operation without such a job is absent.
    """
    newest = _ONLY_TENANT if is_alone(connection) else _ONE_OF_TENANTS.format(indexed=indexed(tenant))
    usage = _USAGE.format(newest=newest)
    rows = connection.exec_driver_sql(usage, (first_job_id(unix_ms - DAY_MS), SAMPLE, list(PERCENTILES), tenant))
    return {
        row[0]: OperationUsage(row[1], *(list(values or [None] * len(PERCENTILES)) for values in row[2:]))
        for row in rows
    }

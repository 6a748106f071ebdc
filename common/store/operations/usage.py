"""Recent resource usage of each operation: percentiles of execution time, CPU time and memory."""

from dataclasses import dataclass

from sqlalchemy import Connection

from common.domain.job import first_job_id
from common.store.schema.partitions import DAY_MS

SAMPLE = 5_000  # newest finished jobs that are read, of all operations together
PERCENTILES = (0.5, 0.95, 0.99)

_USAGE = """
WITH newest AS MATERIALIZED (
    SELECT id, execution_s, cpu_s, peak_mib FROM outcomes
    WHERE id >= $1 AND execution_s IS NOT NULL ORDER BY id DESC LIMIT $2)
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


def read(connection: Connection, unix_ms: int) -> dict[str, OperationUsage]:
    """Return the usage by operation, of the newest finished jobs that were submitted within a day before `unix_ms`.

    An operation without such a job is absent.
    """
    rows = connection.exec_driver_sql(_USAGE, (first_job_id(unix_ms - DAY_MS), SAMPLE, list(PERCENTILES)))
    return {
        row[0]: OperationUsage(row[1], *(list(values or [None] * len(PERCENTILES)) for values in row[2:]))
        for row in rows
    }

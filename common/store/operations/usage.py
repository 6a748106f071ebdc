"""What attempts of each operation have taken lately."""

from dataclasses import dataclass

from sqlalchemy import Connection

from common.domain.job import first_job_id
from common.store.schema.partitions import DAY_MS

SAMPLE = 5_000  # newest jobs that have ended: looked at for all operations together
PERCENTILES = (0.5, 0.95, 0.99)

_USAGE = """
WITH newest AS MATERIALIZED (
    SELECT id, run_s, cpu_s, peak_mib FROM outcomes WHERE id >= $1 AND run_s IS NOT NULL ORDER BY id DESC LIMIT $2)
SELECT j.operation, count(*), percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.run_s), percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.cpu_s),
       percentile_cont($3::float8[]) WITHIN GROUP (ORDER BY n.peak_mib)
FROM newest n CROSS JOIN LATERAL (SELECT operation FROM jobs WHERE jobs.id = n.id OFFSET 0) j GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class OperationUsage:
    """Percentiles, by SHARES, of what ended jobs took in their last attempt."""

    jobs: int
    run_s: list[float]
    cpu_s: list[float | None]
    peak_mib: list[float | None]


def read(connection: Connection, unix_ms: int) -> dict[str, OperationUsage]:
    """Return, by operation, what the newest jobs of the last day took that have ended; one that none of them had is not there."""
    rows = connection.exec_driver_sql(_USAGE, (first_job_id(unix_ms - DAY_MS), SAMPLE, list(PERCENTILES)))
    return {row[0]: OperationUsage(row[1], *(list(values or [None] * len(PERCENTILES)) for values in row[2:])) for row in rows}

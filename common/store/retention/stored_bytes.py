"""The bytes of deleted jobs, which retention takes off what their tenants have stored."""

from sqlalchemy import Connection, text

from common.store.schema.partitions import Period

#: As the API counts them: the input of a job or of a run, and a job with its metadata.
INPUT_BYTES = "coalesce(octet_length({0}.input::text), 0)"
JOB_BYTES = INPUT_BYTES + " + coalesce(octet_length({0}.metadata::text), 0)"
_FORGET = text("DELETE FROM stored_bytes WHERE hour >= to_timestamp(:start_s) AND hour < to_timestamp(:end_s)")
_COUNT = text(f"""
    INSERT INTO stored_bytes (tenant, hour, bytes)
    SELECT tenant, to_timestamp(:start_s), sum(bytes) FROM (
        SELECT j.tenant, {JOB_BYTES.format("j")} AS bytes FROM jobs j WHERE j.id >= :first AND j.id < :after
        UNION ALL
        SELECT j.tenant, {INPUT_BYTES.format("r")} FROM runs r JOIN jobs j ON j.id = r.id
        WHERE r.id >= :first AND r.id < :after AND r.input IS NOT NULL) s
    GROUP BY tenant
""")


def freed(matching: str, job_bytes: str) -> str:
    """Return a common table expression that takes off the bytes of jobs, and of the inputs of their further runs.

    `matching`: the condition on their ids. `job_bytes`: JOB_BYTES or INPUT_BYTES.
    """
    return f"""freed AS (
        INSERT INTO stored_bytes (tenant, hour, bytes)
        SELECT tenant, date_trunc('hour', created_at), -sum(bytes) FROM (
            SELECT j.tenant, j.created_at,
                   {job_bytes.format("j")} + coalesce((
                       SELECT sum({INPUT_BYTES.format("r")}) FROM runs r WHERE r.id = j.id), 0) AS bytes
            FROM jobs j WHERE {matching}) s
        GROUP BY 1, 2 HAVING sum(bytes) > 0)"""


def recount(connection: Connection, period: Period) -> None:
    """Count the bytes of a period anew, after most of its jobs were deleted. In the caller's transaction."""
    first, after = period.bounds
    times = {"start_s": period.start / 1000, "end_s": period.end / 1000}
    connection.execute(_FORGET, times)
    connection.execute(_COUNT, {"start_s": times["start_s"], "first": first, "after": after})

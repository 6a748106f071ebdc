"""A day whose jobs are past retention."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from integration.store.support.storage import Claimer, Storage, id_in, ids
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name
from rig.system import until
from sqlalchemy import Connection

from common.domain.job import ClaimedJob, NewJob, Options
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.retention import by_partition, per_job
from common.store.retention.by_partition import RetentionDays
from common.store.schema.partitions import Period

RETENTION_DAYS = 7
HOUR_S = 3_600
LIMIT = 100
LOCK_JOB = "SELECT FROM jobs WHERE id = %s FOR NO KEY UPDATE"
INSERT_NEXT_RUN = """INSERT INTO live (id, queue, max_attempts, claimable_at, run)
            SELECT id, 'default', 3, clock_timestamp(), max(run) + 1 FROM outcomes WHERE id = %s GROUP BY id"""


@dataclass
class PastDay:
    """A day whose jobs are past retention."""

    storage: Storage
    period: Period
    claimer: Claimer
    job_count: int = 0
    retention: RetentionDays = field(default=RetentionDays(RETENTION_DAYS, RETENTION_DAYS, RETENTION_DAYS))

    def waiting(self, count: int = 1, keep_s: int | None = None) -> list[str]:
        """Store jobs of that day that have not run yet."""
        options = None if keep_s is None else Options(keep_s=keep_s)
        new = [
            NewJob(
                id_in(self.period, self.job_count + n),
                "square_sum",
                "default",
                '{"data":[1]}',
                3,
                None,
                options=options,
            )
            for n in range(count)
        ]
        self.job_count += count
        return self.storage.store(new)

    def running(self, count: int = 1) -> list[ClaimedJob]:
        """Store jobs of that day and claim them."""
        job_ids = self.waiting(count)
        jobs = self.claimer.claim()
        assert ids(jobs) == job_ids
        return jobs

    def finished(
        self, count: int = 1, days_ago: float = RETENTION_DAYS + 1, status: str = "SUCCESS", keep_s: int | None = None
    ) -> list[str]:
        """Store jobs of that day that ended so many days ago."""
        jobs = self.waiting(count, keep_s)
        self.finish(jobs, days_ago, status)
        return jobs

    def finish(self, jobs: Sequence[str], days_ago: float, status: str = "SUCCESS", run_number: int = 0) -> None:
        """End jobs as if that was so many days ago."""
        self.storage.rows("DELETE FROM live WHERE id = ANY(%s::uuid[])", (list(jobs),))
        self.storage.rows(
            """INSERT INTO outcomes (id, run, attempt, released, rev, finished_at, status, result, error_type)
               SELECT unnest(%(ids)s::uuid[]), %(run)s, 1, 0, 2, now() - %(days)s * interval '1 day', %(status)s,
                      CASE %(status)s WHEN 'SUCCESS' THEN '14.0'::json END,
                      CASE %(status)s WHEN 'FAILED' THEN 'E' END""",
            {"ids": list(jobs), "run": run_number, "days": days_ago, "status": status},
        )

    def clear(self, connection: Connection) -> int:
        """Delete jobs of the day that are past retention. Returns the number of jobs that stay."""
        cutoffs, removable = by_partition.removable_periods(connection, self.retention)
        assert self.period in removable
        return by_partition.clear_partition(connection, self.period, cutoffs)

    def clear_and_commit(self) -> int:
        with self.storage.engine.begin() as connection:
            return self.clear(connection)

    def blocked_pid(self) -> int:
        """Wait until a lock blocks a connection, and return its process id."""
        waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(until("a connection waits for a lock", lambda: self.storage.rows(waits))[0][0])

    def pid(self, connection: Connection) -> int:
        driver = connection.connection.driver_connection
        assert driver is not None
        return int(driver.info.backend_pid)


def set_finished_ago(storage: Storage, seconds: float) -> None:
    """Move the ends of all jobs to so many seconds ago."""
    storage.rows("UPDATE outcomes SET finished_at = clock_timestamp() - %s * interval '1 s'", (seconds,))


def delete_expired(connection: WorkerConnection, storage: Storage) -> tuple[int, int]:
    """Check all rows of `expiries`, as if they were due. Returns how many were checked and how many jobs deleted."""
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    return per_job.delete_expired(connection, LIMIT)


def lock_for_retry(storage: Storage, job: str) -> PgConnection:
    """Begin a manual retry: lock the job's row, and change nothing yet."""
    session = storage.session()
    session.cursor().execute(LOCK_JOB, (job,))
    return session


def retry(session: PgConnection, job: str) -> bool:
    """Begin the next run of a finished job, in a statement after the lock. Returns False if there is no such job."""
    cursor = session.cursor()
    cursor.execute(LOCK_JOB, (job,))
    exists = cursor.rowcount == 1
    if exists:
        cursor.execute(INSERT_NEXT_RUN, (job,))
    session.commit()
    return exists

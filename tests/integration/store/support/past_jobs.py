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

DAYS = 7
HOUR_S = 3_600
MOST = 100
LOCK = "SELECT FROM jobs WHERE id = %s FOR NO KEY UPDATE"
REVIVE = """INSERT INTO live (id, queue, max_attempts, pos, epoch)
            SELECT id, 'default', 3, clock_timestamp(), max(epoch) + 1 FROM outcomes WHERE id = %s GROUP BY id"""


@dataclass
class Past:
    """A day whose jobs are past retention."""

    storage: Storage
    period: Period
    claimer: Claimer
    made: int = 0
    kept: RetentionDays = field(default=RetentionDays(DAYS, DAYS, DAYS))

    def waiting(self, count: int = 1, keep_s: int | None = None) -> list[str]:
        """Store jobs of that day that nobody has run yet."""
        options = None if keep_s is None else Options(keep_s=keep_s)
        new = [NewJob(id_in(self.period, self.made + n), "square_sum", "default", '{"data":[1]}', 3, None, options=options) for n in range(count)]
        self.made += count
        return self.storage.store(new)

    def running(self, count: int = 1) -> list[ClaimedJob]:
        wanted = self.waiting(count)
        jobs = self.claimer.claim()
        assert ids(jobs) == wanted
        return jobs

    def finished(self, count: int = 1, days_ago: float = DAYS + 1, status: str = "SUCCESS", keep_s: int | None = None) -> list[str]:
        """Store jobs of that day that ended so many days ago."""
        jobs = self.waiting(count, keep_s)
        self.end(jobs, days_ago, status)
        return jobs

    def end(self, jobs: Sequence[str], days_ago: float, status: str = "SUCCESS", epoch: int = 0) -> None:
        """Let jobs have ended so many days ago."""
        self.storage.rows("DELETE FROM live WHERE id = ANY(%s::uuid[])", (list(jobs),))
        self.storage.rows(
            """INSERT INTO outcomes (id, epoch, attempt, released, rev, finished_at, status, result, error_type)
               SELECT unnest(%(ids)s::uuid[]), %(epoch)s, 1, 0, 2, now() - %(days)s * interval '1 day', %(status)s,
                      CASE %(status)s WHEN 'SUCCESS' THEN '14.0'::json END, CASE %(status)s WHEN 'FAILED' THEN 'E' END""",
            {"ids": list(jobs), "epoch": epoch, "days": days_ago, "status": status},
        )

    def clear(self, connection: Connection) -> int:
        cuts, ended = by_partition.removable_periods(connection, self.kept)
        assert self.period in ended
        return by_partition.clear_partition(connection, self.period, cuts)

    def clear_all(self) -> int:
        with self.storage.engine.begin() as connection:
            return self.clear(connection)

    def blocked(self) -> int:
        """Wait until a connection waits for a lock, and return its process."""
        waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(until("somebody waits for a lock", lambda: self.storage.rows(waits))[0][0])

    def pid(self, connection: Connection) -> int:
        driver = connection.connection.driver_connection
        assert driver is not None
        return int(driver.info.backend_pid)


def ended_ago(storage: Storage, seconds: float) -> None:
    storage.rows("UPDATE outcomes SET finished_at = clock_timestamp() - %s * interval '1 s'", (seconds,))


def look(connection: WorkerConnection, storage: Storage) -> tuple[int, int]:
    """Look at all rows, as when their time has come."""
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    return per_job.delete_expired(connection, MOST)


def retrying(storage: Storage, job: str) -> PgConnection:
    """Begin an explicit retry: the job's row is locked, nothing else has been done."""
    session = storage.session()
    session.cursor().execute(LOCK, (job,))
    return session


def retry(session: PgConnection, job: str) -> bool:
    """Make a job live that has ended, by a statement after the lock; returns whether it was there."""
    cursor = session.cursor()
    cursor.execute(LOCK, (job,))
    there = cursor.rowcount == 1
    if there:
        cursor.execute(REVIVE, (job,))
    session.commit()
    return there

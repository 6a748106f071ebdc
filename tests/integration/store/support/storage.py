"""The store as its tests see it: a database, claimers, statements that block each other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg
import psycopg2
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name
from rig.system import Database, until
from sqlalchemy import Engine

from common.domain.decisions import WORKER_LOST, AttemptOutcome, Decision, Fail, Failure, Release, Retry
from common.domain.job import DEFAULT_PRIORITY, ClaimedJob, NewJob, new_job_id
from common.settings import Pooler, Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.connection.statement import INDEX_PLAN_SETTINGS
from common.store.jobs import claims, failures, insert
from common.store.schema import partitions
from common.store.workers import leases
from common.store.workers.low_water_marks import LowWaterMarks
from common.store.workers.results import Results

T = TypeVar("T")
LONG_S = 300.0  # a lease that no test outlives
ERROR = Failure(AttemptOutcome.ERROR, "RuntimeError", "it went wrong")
RELEASE = Release(Failure(AttemptOutcome.RELEASED, "released", "released"))
LOST = Fail(WORKER_LOST)


class Storage:
    """A migrated database. Closes the connections that it has opened."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.rows = self.database.rows
        self.value = self.database.value
        self.engine: Engine = sync_engine(settings, "test")
        self._open: list[WorkerConnection | PgConnection] = []
        self._threads = ThreadPoolExecutor(8)

    # --- connections

    def connection(self, *, by_index: bool = True) -> WorkerConnection:
        """Return a connection as worker processes have; by_index=False: as their parents and the controller have."""
        connection = WorkerConnection(self.settings, "test", by_index=by_index)
        self._open.append(connection)
        return connection

    def session(self) -> PgConnection:
        """Return a psycopg2 connection that begins a transaction with its first statement."""
        connection = psycopg2.connect(self.settings.database_url)
        self._open.append(connection)
        return connection

    def claimer(self, lease_s: float = LONG_S, queue: str = "default") -> "Claimer":
        """Return a registered worker process."""
        return Claimer(self, lease_s, queue)

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._threads.shutdown(wait=True)
        self.engine.dispose()
        self.database.close()

    # --- jobs

    def new(
        self,
        count: int = 1,
        *,
        queue: str = "default",
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int = 3,
        ago_s: float = 0,
    ) -> list[NewJob]:
        """Return jobs that are not stored, with ids made `ago_s` seconds ago."""
        now_ms = int(self.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
        return [
            NewJob(
                new_job_id(now_ms - round(ago_s * 1000), uuid4().int),
                "square_sum",
                queue,
                '{"data":[1,2,3]}',
                max_attempts,
                None,
                priority,
            )
            for _ in range(count)
        ]

    def store(self, *batches: Sequence[NewJob]) -> list[str]:
        """Store jobs as the API does, each batch in a transaction. Returns their ids."""

        async def work(connection: asyncpg.Connection) -> None:
            for batch in batches:
                await insert.insert_jobs(connection, batch)

        self.api(work)
        return [str(job.id) for batch in batches for job in batch]

    def submit(
        self, count: int = 1, *, queue: str = "default", priority: int = DEFAULT_PRIORITY, max_attempts: int = 3
    ) -> list[str]:
        """Store new jobs. Returns their ids in the order in which they are claimed."""
        jobs = self.new(count, queue=queue, priority=priority, max_attempts=max_attempts)
        return self.store(sorted(jobs, key=lambda job: job.id))

    def fill(
        self,
        count: int,
        claimable_at: str = "clock_timestamp() - interval '1 hour'",
        *,
        queue: str = "default",
        priority: str = "5",
    ) -> None:
        """Store many jobs quickly; `claimable_at` and `priority` are SQL."""
        self.rows(
            f"""WITH new AS (INSERT INTO jobs (id, operation, queue, input, max_attempts, priority)
                 SELECT uuidv7(), 'square_sum', %s, '{{"data":[1,2,3]}}', 3, {priority} FROM generate_series(1, %s)
                 RETURNING id, queue, priority)
             INSERT INTO live (id, queue, priority, max_attempts, claimable_at)
             SELECT id, queue, priority, 3, {claimable_at} FROM new""",
            (queue, count),
        )

    def age(self, ids: Sequence[str], seconds: float) -> None:
        """Move the positions of unclaimed jobs back by so many seconds."""
        self.rows(
            "UPDATE live SET claimable_at = claimable_at - %s * interval '1 s' WHERE id = ANY(%s::uuid[])",
            (seconds, list(ids)),
        )

    def state(self, job_id: str) -> str | None:
        """Return a job's status as clients see it, None if it is unknown."""
        rows = self.rows("SELECT status FROM job_states WHERE id = %s", (job_id,))
        return rows[0][0] if rows else None

    def drain(self) -> None:
        """Leave tables that had jobs and are empty, with planner statistics that say so."""
        self.fill(1_000)
        self.rows("TRUNCATE jobs")
        self.rows("DELETE FROM live")
        self.rows("VACUUM ANALYZE")

    def api(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run work on a connection as the API has."""

        async def run() -> T:
            connection = await self.connect()
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def with_pool(self, work: Callable[[DatabasePool], Awaitable[T]]) -> T:
        """Run work with a connection pool of the API."""

        async def run() -> T:
            pool = DatabasePool(self.settings)
            try:
                return await work(pool)
            finally:
                await pool.close()

        return asyncio.run(run())

    async def connect(self) -> asyncpg.Connection:
        """Return a connection as the API has; the caller closes it."""
        pooled = self.settings.database_pooler is Pooler.TRANSACTION
        return await asyncpg.connect(
            self.settings.database_url,
            statement_cache_size=0 if pooled else 100,
            server_settings={} if pooled else INDEX_PLAN_SETTINGS,
        )

    # --- blocked statements

    def begin(self, work: Callable[[], T]) -> "Future[T]":
        """Run work in a thread."""
        return self._threads.submit(work)

    def until_blocked(self, pid: int, by: int | None = None) -> None:
        """Wait until the lock of another connection, `by` if given, blocks a connection."""
        condition = f"{pid} waits for {by or 'a lock'}"
        if self.settings.database_pooler is Pooler.TRANSACTION:  # its clients have other pids than PostgreSQL's
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            until(condition, lambda: self.value(waits))
            return
        until(
            condition,
            lambda: self.value(
                """SELECT CASE WHEN %s::int IS NULL THEN pg_blocking_pids(%s) <> '{}'
                               ELSE %s = ANY(pg_blocking_pids(%s)) END""",
                (by, pid, by, pid),
            ),
        )


class Claimer:
    """A worker process as the database knows it."""

    def __init__(self, storage: Storage, lease_s: float, queue: str) -> None:
        self.storage = storage
        self.connection = storage.connection()
        self.queue = queue
        self.marks = LowWaterMarks()
        self.id = leases.register(self.connection, lease_s, self.pid, "test", [queue], ["square_sum"])

    @property
    def pid(self) -> int:
        """The process id of its connection at the server."""
        return int(self.connection.driver_connection.info.backend_pid)

    def claim(self, limit: int = 100) -> list[ClaimedJob]:
        return claims.settle_and_claim(self.connection, self.id, Results(), self.queue, self.marks, limit)[1]

    def settle(self, jobs: Sequence[ClaimedJob], result: str = "14.0") -> set[str]:
        return claims.settle(self.connection, self.id, results(jobs, result))

    def write(self, jobs: Sequence[ClaimedJob], decision: Decision) -> set[str]:
        """Write the same decision about each job, in a transaction."""
        with self.connection.transaction():
            return failures.write_decisions(self.connection, self.id, [(job, decision) for job in jobs])

    def renew(self, lease_s: float = LONG_S) -> bool:
        """Renew the lease and publish the low-water marks, as the parent does. Returns False if the lease is lost."""
        marks = {
            self.queue: {
                str(priority): position
                for priority, position in self.marks.claimable_at.items()
                if position != "-infinity"
            }
        }
        return self.id in leases.renew(self.connection, lease_s, [leases.LeaseRenewal(self.id, 0, marks)])

    def expire(self) -> None:
        """Let the lease expire."""
        self.storage.rows(
            "UPDATE workers SET alive_until = clock_timestamp() - interval '1 ms' WHERE id = %s", (self.id,)
        )


def results(jobs: Sequence[ClaimedJob], result: str = "14.0") -> Results:
    """Return the results of jobs, ready to be settled."""
    batch = Results()
    for job in jobs:
        batch.add(job, result, 0.001)
    return batch


def retry_after(delay_s: float) -> Retry:
    """Return the decision to retry after so many seconds."""
    return Retry(ERROR, delay_s)


def ids(jobs: Sequence[ClaimedJob]) -> list[str]:
    """Return the ids of jobs, in their order."""
    return [job.id for job in jobs]


def old_period(storage: Storage, days_ago: int) -> partitions.Period:
    """Create the partitions of a day in the past, and return its period."""
    with storage.engine.begin() as connection:
        now_ms = partitions.database_unix_ms(connection)
        start = (now_ms // partitions.DAY_MS - days_ago) * partitions.DAY_MS
        period = partitions.Period(start, start + partitions.DAY_MS)
        first, after = period.bounds
        for table in partitions.TABLES:
            connection.exec_driver_sql(f"SELECT create_partition('{table}', '{period.suffix}', '{first}', '{after}')")
    return period


def id_in(period: partitions.Period, number: int) -> UUID:
    """Return the id of a job that was made in a period."""
    return new_job_id(period.start + 1 + number, number)

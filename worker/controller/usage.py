"""Counts what tenants use of their quotas, for the API and the workers. Without quotas nobody's jobs are counted."""

import time
from collections.abc import Callable

from sqlalchemy import Engine

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.tenancy import usage_counts

BYTES_INTERVAL_S = 60.0
MAX_SHARE = 0.05  # of the time, that the counts of jobs may take


class UsageCounter:
    """Counts jobs at each tick, or less often if that would take too long, and bytes once a minute."""

    def __init__(self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._engine = engine
        self._defaults = settings.default_max_waiting_jobs, settings.default_max_running_jobs
        self._clock = clock
        self._jobs_due_at = self._bytes_due_at = float("-inf")

    def count(self, jobs: WorkerConnection) -> int:
        """Count what is due, the jobs on this connection. Returns 0: no job is changed."""
        now = self._clock()
        if now >= self._jobs_due_at:
            usage_counts.count_jobs(jobs, *self._defaults)
            took_s = self._clock() - now
            self._jobs_due_at = now + took_s / MAX_SHARE
        if now >= self._bytes_due_at:
            with self._engine.begin() as connection:
                usage_counts.count_bytes(connection)
            self._bytes_due_at = now + BYTES_INTERVAL_S
        return 0

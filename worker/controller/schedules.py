"""The due instants of schedules, within a share of each tick."""

import time
from collections.abc import Callable

import psycopg2
from prometheus_client import Counter

from common.broker.change_notifications import ChangeNotifications
from common.domain.schedules.policies import FireOutcome
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.schedules import firing
from common.store.schedules.firing import FireBatch, FiringLimits
from common.telemetry import logs

log = logs.get("controller")
TICK_SHARE = 0.5  # of a tick, at most: ten thousand schedules of one instant take a few ticks
MAX_DELETED = 5_000  # fires in one transaction
DELETION_ROUNDS = 10


class ScheduleFires:
    """Fires the schedules of which an instant is due."""

    def __init__(self, settings: Settings, fire_counter: Counter, clock: Callable[[], float] = time.monotonic) -> None:
        """`fire_counter`: counts instants by outcome. `clock`: monotonic seconds."""
        self._settings = settings
        self._fires = fire_counter
        self._clock = clock
        self._change_notifications = ChangeNotifications(settings)
        self._limits = FiringLimits(
            settings.schedules_per_transaction,
            settings.schedule_grace_seconds,
            settings.default_max_waiting_jobs,
            settings.default_max_jobs_per_minute,
        )

    def fire(self, connection: WorkerConnection) -> int:
        """Fire what is due, for at most a share of a tick. Returns how many jobs were submitted.

        Costs one look at an index if nothing is due.
        """
        until, jobs = self._clock() + TICK_SHARE * self._settings.tick_seconds, 0
        if not firing.is_any_due(connection):
            return 0
        while True:
            try:
                batch = firing.fire_due(connection, self._limits)
            except psycopg2.Error as error:
                if isinstance(error, DatabaseUnavailable):
                    raise
                return jobs + self._fire_one_by_one(connection)
            jobs += self._report(batch)
            if batch.locked < self._limits.schedules or not batch.decided or self._clock() >= until:
                return jobs

    def _fire_one_by_one(self, connection: WorkerConnection) -> int:
        """Fire each due schedule alone, because PostgreSQL has refused a row of one."""
        jobs = 0
        for batch, error in firing.fire_one_by_one(connection, self._limits):
            if error is not None:
                log.warning("schedule_job_refused", reason=str(error).strip())
            jobs += self._report(batch)
        return jobs

    def _report(self, batch: FireBatch) -> int:
        """Count what a transaction has stored. Returns the number of its jobs."""
        for outcome, count in batch.outcomes.items():
            self._fires.labels(outcome).inc(count)
        missed, refused = batch.outcomes[FireOutcome.MISSED], batch.outcomes[FireOutcome.REFUSED]
        if missed or refused:
            log.warning("schedule_instants_without_jobs", missed=missed, refused=refused)
        for schedule_id, undecided in batch.errors:
            log.error("schedule_undecidable", schedule=schedule_id, exc_info=undecided)
        if batch.cancelled:
            self._change_notifications.publish(batch.cancelled)
        return batch.outcomes[FireOutcome.FIRED]

    def delete_old(self, connection: WorkerConnection) -> None:
        """Delete the fires that are past their retention."""
        for _ in range(DELETION_ROUNDS):
            if firing.delete_fires(connection, self._settings.schedule_fire_days, MAX_DELETED) < MAX_DELETED:
                break

"""Metrics of the controller: its tasks, and gauges of queues, workers and tables that are read from the database."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from common.domain.schedules.policies import FireOutcome
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.feed import retention as feed_retention
from common.store.queues import queue_state
from common.store.schedules import firing
from common.store.schema import table_sizes
from common.store.webhooks import gauges as webhook_gauges
from common.telemetry import metrics, schedule_metrics
from common.telemetry.feature_metrics import feed as feed_metrics
from common.telemetry.feature_metrics import webhooks as webhook_metrics
from common.telemetry.metric_families import gauges

SIZES_INTERVAL_S = 15.0  # KEDA scrapes more often than sizes change


class ControllerMetrics:
    """Metrics that the controller counts itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.last_success = metrics.TASK_LAST_SUCCESS.gauge(self.registry)
        self.leading = metrics.LEADING.gauge(self.registry)
        self.jobs = metrics.TASK_JOBS.counter(self.registry)
        self.bulk_action_jobs = metrics.BULK_ACTION_JOBS.counter(self.registry)
        self.schedule_fires = schedule_metrics.FIRES.counter(self.registry, *FireOutcome)
        self._unrunnable = metrics.UNRUNNABLE_JOBS.gauge(self.registry)
        self._unrunnable_queues: set[str] = set()
        self.doorbells = metrics.DOORBELLS.counter(self.registry, *metrics.DOORBELL_OUTCOMES)

    def task_succeeded(self, task: str) -> None:
        """Record that a controller task has succeeded now."""
        self.last_success.labels(task).set(time.time())

    def set_unrunnable(self, jobs: Mapping[str, int]) -> None:
        """Set, by queue, the number of due jobs that no worker can run."""
        for queue, count in jobs.items():
            self._unrunnable.labels(queue).set(count)
        for queue in self._unrunnable_queues - jobs.keys():  # last, so that no scrape sees too few
            self._unrunnable.remove(queue)
        self._unrunnable_queues = set(jobs)


class DatabaseMetrics(Collector):
    """Gauges read from the database at each scrape. After a failed read they are absent, never 0."""

    def __init__(self, settings: Settings, controller_metrics: ControllerMetrics) -> None:
        self._settings = settings
        self._connection: WorkerConnection | None = None
        self._lock = threading.Lock()
        self._sizes: list[Any] = []
        self._sizes_read_at = -SIZES_INTERVAL_S
        controller_metrics.registry.register(self)
        # Registered last, so that a scrape that fails to read the database counts its own error.
        self._errors = metrics.SCRAPE_ERRORS.counter(controller_metrics.registry)

    def collect(self) -> Iterator[Any]:
        """Yield all gauges, or none if the database is unavailable."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = WorkerConnection(self._settings, "metrics", by_index=True)
                families = [*self._queue_gauges(self._connection), *self._table_gauges(self._connection)]
            except DatabaseUnavailable:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                self._errors.inc()
                return
        yield from families

    def _queue_gauges(self, connection: WorkerConnection) -> list[Any]:
        depths, alive = (
            sorted(queue_state.depth(connection, self._settings.queue_count_limit).items()),
            queue_state.workers_alive(connection),
        )
        jobs = [
            ([queue, state], float(count))
            for queue, counts in depths
            for state, count in zip(("queued", "running"), counts, strict=True)
        ]
        return [
            gauges(metrics.QUEUE_JOBS, jobs),
            gauges(metrics.QUEUE_DEPTH, [([queue], queued + running) for queue, (queued, running) in depths]),
            gauges(
                metrics.PARKED_JOBS,
                [
                    ([queue, kind], count)
                    for queue, counts in sorted(
                        queue_state.parked(connection, self._settings.queue_count_limit).items()
                    )
                    for kind, count in zip(("unique", "concurrency"), counts, strict=True)
                ],
            ),
            gauges(
                metrics.OLDEST_DUE,
                [([queue], seconds) for queue, seconds in sorted(queue_state.oldest_due_s(connection).items())],
            ),
            gauges(schedule_metrics.LATENESS, [([], firing.overdue_s(connection))]),
            gauges(
                webhook_metrics.ENDPOINTS,
                [([state], count) for state, count in webhook_gauges.endpoints(connection).items()],
            ),
            gauges(webhook_metrics.OLDEST_UNDELIVERED, [([], webhook_gauges.oldest_undelivered_s(connection))]),
            gauges(feed_metrics.LAG, [([], feed_retention.lag_s(connection))]),
            gauges(metrics.WORKERS_ALIVE, [([queue], alive.get(queue, 0)) for queue, _ in depths]),
        ]

    def _table_gauges(self, connection: WorkerConnection) -> list[Any]:
        if time.monotonic() - self._sizes_read_at >= SIZES_INTERVAL_S:
            sizes = table_sizes.table_sizes(connection)
            table_bytes = [
                ([size.table, part], value)
                for size in sizes
                for part, value in (("rows", size.rows_bytes), ("indexes", size.index_bytes))
            ]
            self._sizes = [
                gauges(metrics.TABLE_BYTES, table_bytes),
                gauges(metrics.DEAD_ROWS, [([size.table], size.dead_rows) for size in sizes]),
                gauges(metrics.OLDEST_TRANSACTION, [([], table_sizes.oldest_transaction_s(connection))]),
            ]
            self._sizes_read_at = time.monotonic()
        return self._sizes

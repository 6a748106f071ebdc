"""What the controller measures: its duties, and what the database says of queues, workers and tables."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from common.settings import Settings
from common.store.connection.psycopg2_session import CONNECTION_ERRORS, WorkerConnection
from common.store.queues import queue_state
from common.store.schema import table_sizes
from common.telemetry import metrics
from common.telemetry.metrics import gauges

SIZES_INTERVAL_S = 15.0  # KEDA looks more often than sizes change


class ControllerMetrics:
    """The controller's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.last_success = metrics.TASK_LAST_SUCCESS.gauge(self.registry)
        self.leading = metrics.LEADING.gauge(self.registry)
        self.jobs = metrics.TASK_JOBS.counter(self.registry)
        self.bulk_action_jobs = metrics.BULK_ACTION_JOBS.counter(self.registry)
        self._unrunnable = metrics.UNRUNNABLE_JOBS.gauge(self.registry)
        self._unrunnable_queues: set[str] = set()
        self.doorbells = metrics.DOORBELLS.counter(self.registry, *metrics.DOORBELL_OUTCOMES)

    def task_succeeded(self, duty: str) -> None:
        """Say that a duty has been done."""
        self.last_success.labels(duty).set(time.time())

    def set_unrunnable(self, jobs: Mapping[str, int]) -> None:
        """Say, by queue, how many jobs nobody can run."""
        for queue, count in jobs.items():
            self._unrunnable.labels(queue).set(count)
        for queue in self._unrunnable_queues - jobs.keys():  # last, so that no scrape finds less than there is
            self._unrunnable.remove(queue)
        self._unrunnable_queues = set(jobs)


class DatabaseMetrics(Collector):
    """What the database says, read at scrape. A failed read is absent, never 0."""

    def __init__(self, settings: Settings, own: ControllerMetrics) -> None:
        self._settings = settings
        self._connection: WorkerConnection | None = None
        self._lock = threading.Lock()
        self._sizes: list[Any] = []
        self._sizes_read_at = -SIZES_INTERVAL_S
        own.registry.register(self)
        # After the rest, so that a scrape which could not read counts itself.
        self._errors = metrics.SCRAPE_ERRORS.counter(own.registry)

    def collect(self) -> Iterator[Any]:
        """Read everything, or yield nothing."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = WorkerConnection(self._settings, "gauges", by_index=True)
                found = [*self._queue_gauges(self._connection), *self._table_gauges(self._connection)]
            except CONNECTION_ERRORS:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                self._errors.inc()
                return
        yield from found

    def _queue_gauges(self, connection: WorkerConnection) -> list[Any]:
        depths, alive = sorted(queue_state.depth(connection, self._settings.gauge_cap_jobs).items()), queue_state.workers_alive(connection)
        jobs = [([queue, state], float(count)) for queue, both in depths for state, count in zip(("queued", "running"), both, strict=True)]
        return [
            gauges(metrics.QUEUE_JOBS, jobs),
            gauges(metrics.QUEUE_DEPTH, [([queue], queued + running) for queue, (queued, running) in depths]),
            gauges(metrics.OLDEST_DUE, [([queue], seconds) for queue, seconds in sorted(queue_state.oldest_due_s(connection).items())]),
            gauges(metrics.WORKERS_ALIVE, [([queue], alive.get(queue, 0)) for queue, _ in depths]),
        ]

    def _table_gauges(self, connection: WorkerConnection) -> list[Any]:
        if time.monotonic() - self._sizes_read_at >= SIZES_INTERVAL_S:
            found = table_sizes.read(connection)
            of = [([one.table, of], value) for one in found for of, value in (("rows", one.rows_bytes), ("indexes", one.index_bytes))]
            self._sizes = [
                gauges(metrics.TABLE_BYTES, of),
                gauges(metrics.DEAD_ROWS, [([one.table], one.dead_rows) for one in found]),
                gauges(metrics.OLDEST_TRANSACTION, [([], table_sizes.oldest_transaction_s(connection))]),
            ]
            self._sizes_read_at = time.monotonic()
        return self._sizes

"""What the controller measures: its duties, and what the database says of queues, workers and tables."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.queues import queue_state
from common.store.schema import table_sizes
from common.telemetry import metrics
from common.telemetry.metrics import gauges

SIZES_EVERY_S = 15.0  # KEDA looks more often than sizes change


class Gauges:
    """The controller's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.last_done = metrics.DUTY_DONE.gauge(self.registry)
        self.leading = metrics.LEADING.gauge(self.registry)
        self.jobs = metrics.DUTY_JOBS.counter(self.registry)
        self.acted = metrics.ACTED.counter(self.registry)
        self._unknown = metrics.UNKNOWN.gauge(self.registry)
        self._unknown_of: set[str] = set()
        self.rings = metrics.DOORBELLS.counter(self.registry, *metrics.RINGS)

    def done(self, duty: str) -> None:
        """Say that a duty has been done."""
        self.last_done.labels(duty).set(time.time())

    def say_unknown(self, jobs: Mapping[str, int]) -> None:
        """Say, by queue, how many jobs nobody can run."""
        for queue, count in jobs.items():
            self._unknown.labels(queue).set(count)
        for queue in self._unknown_of - jobs.keys():  # last, so that no scrape finds less than there is
            self._unknown.remove(queue)
        self._unknown_of = set(jobs)


class Database(Collector):
    """What the database says, read at scrape. A failed read is absent, never 0."""

    def __init__(self, settings: Settings, own: Gauges) -> None:
        self._settings = settings
        self._hot: Hot | None = None
        self._lock = threading.Lock()
        self._sizes: list[Any] = []
        self._sized = -SIZES_EVERY_S
        own.registry.register(self)
        # After the rest, so that a scrape which could not read counts itself.
        self._errors = metrics.SCRAPE_ERRORS.counter(own.registry)

    def collect(self) -> Iterator[Any]:
        """Read everything, or yield nothing."""
        with self._lock:
            try:
                if self._hot is None:
                    self._hot = Hot(self._settings, "gauges", by_index=True)
                found = [*self._of_queues(self._hot), *self._of_tables(self._hot)]
            except AWAY:
                if self._hot is not None:
                    self._hot.close()
                self._hot = None
                self._errors.inc()
                return
        yield from found

    def _of_queues(self, hot: Hot) -> list[Any]:
        depths, alive = sorted(queue_state.depth(hot, self._settings.gauge_cap_jobs).items()), queue_state.alive(hot)
        jobs = [([queue, state], float(count)) for queue, both in depths for state, count in zip(("queued", "running"), both, strict=True)]
        return [
            gauges(metrics.JOBS, jobs),
            gauges(metrics.DEPTH, [([queue], queued + running) for queue, (queued, running) in depths]),
            gauges(metrics.OLDEST, [([queue], seconds) for queue, seconds in sorted(queue_state.oldest_due_s(hot).items())]),
            gauges(metrics.ALIVE, [([queue], alive.get(queue, 0)) for queue, _ in depths]),
        ]

    def _of_tables(self, hot: Hot) -> list[Any]:
        if time.monotonic() - self._sized >= SIZES_EVERY_S:
            found = table_sizes.tables(hot)
            of = [([one.table, of], value) for one in found for of, value in (("rows", one.rows_bytes), ("indexes", one.index_bytes))]
            self._sizes = [
                gauges(metrics.TABLE_BYTES, of),
                gauges(metrics.DEAD_ROWS, [([one.table], one.dead_rows) for one in found]),
                gauges(metrics.OLDEST_SNAPSHOT, [([], table_sizes.oldest_transaction_s(hot))]),
            ]
            self._sized = time.monotonic()
        return self._sizes

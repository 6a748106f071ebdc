"""What the API counts: requests by the template of their route, commits, doorbells, the pool."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from sqlalchemy import QueuePool
from starlette.types import Scope

from api.web.compression import WAITED_KEY
from common.domain.job import NewJob
from common.store.connection.asyncpg_pool import DatabasePool
from common.telemetry import metrics

_BUCKETS = metrics.HTTP_DURATION.buckets


class ApiMetrics:
    """The metrics of one API process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self.registry.register(self.requests)
        self.commit_jobs = metrics.COMMIT_JOBS.histogram(self.registry)
        self.commit_wait = metrics.COMMIT_WAIT.histogram(self.registry)
        self.commit_duration = metrics.COMMIT_DURATION.histogram(self.registry)
        self.doorbells = metrics.DOORBELLS.counter(self.registry, *metrics.DOORBELL_OUTCOMES)
        self.long_polls = metrics.LONG_POLLS.counter(self.registry, *metrics.LONG_POLL_OUTCOMES)
        self._waiting_clients = metrics.WAITING_CLIENTS.gauge(self.registry, metrics.RESULT, metrics.EVENTS)
        self._accepted = metrics.JOBS_ACCEPTED.counter(self.registry)

    @contextmanager
    def count_waiting_client(self, scope: Scope, waits_for: str) -> Iterator[None]:
        """Count a client that waits; its request is none that is in progress meanwhile, nor does the wait count as its duration."""
        gauge, began = self._waiting_clients.labels(waits_for), time.perf_counter()
        gauge.inc()
        self.requests.in_progress -= 1
        try:
            yield
        finally:
            gauge.dec()
            self.requests.in_progress += 1
            scope[WAITED_KEY] = time.perf_counter() - began

    def count_accepted(self, jobs: Sequence[NewJob]) -> None:
        """Count jobs whose commit stood."""
        counts: dict[tuple[str, str], int] = {}
        for job in jobs:
            of = job.operation, job.queue
            counts[of] = counts.get(of, 0) + 1
        for of, count in counts.items():
            self._accepted.labels(*of).inc(count)


class RequestMetrics(Collector):
    """Every request that was answered. Counted by one thread in plain numbers: the client's own, with their locks, took a tenth of the POST/s."""

    def __init__(self) -> None:
        self.in_progress = 0
        self._counts: dict[tuple[str, str, int], int] = {}  # by method, route and status
        self._durations: dict[tuple[str, str], list[float]] = {}  # by method and route: the count in each bucket and beyond the last, then the sum
        self._exemplars: dict[tuple[str, str], list[Exemplar | None]] = {}  # by both: of each bucket the last request that is traced

    def count(self, method: str, route: str, status: int, seconds: float, trace_id: str | None = None) -> None:
        """Count one; `trace_id`: of its trace, if it is sampled."""
        of = method, route, status
        self._counts[of] = self._counts.get(of, 0) + 1
        both = method, route
        counts = self._durations.get(both)
        if counts is None:
            counts = self._durations[both] = [0.0] * (len(_BUCKETS) + 2)
            self._exemplars[both] = [None] * (len(_BUCKETS) + 1)
        bucket = bisect_left(_BUCKETS, seconds)
        counts[bucket] += 1
        counts[-1] += seconds
        if trace_id is not None:
            self._exemplars[both][bucket] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def collect(self) -> Iterator[Any]:
        """Yield what has been counted."""
        yield metrics.counters(metrics.HTTP_REQUESTS, [([method, route, str(status)], count) for (method, route, status), count in list(self._counts.items())])
        durations = list(self._durations.items())
        exemplars = [list(self._exemplars[both]) for both, _ in durations]
        yield metrics.histograms(metrics.HTTP_DURATION, [(list(both), counts) for both, counts in durations], exemplars)
        yield metrics.gauges(metrics.HTTP_IN_PROGRESS, [([], self.in_progress)])


class PoolGauges(Collector):
    """The pool, read at scrape."""

    def __init__(self, pool: DatabasePool, most: int) -> None:
        self._pool = pool
        self._max_connections = most

    def collect(self) -> Iterator[Any]:
        """Read it."""
        pool = self._pool.engine.pool
        used = pool.checkedout() if isinstance(pool, QueuePool) else 0
        yield metrics.gauges(metrics.POOL_CONNECTIONS, [(["used"], used), (["most"], self._max_connections)])

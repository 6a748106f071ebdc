"""The API's metrics: requests by route template, commits, doorbells, long polls, the connection pool and its lanes."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from sqlalchemy import QueuePool
from starlette.types import Scope

from api.limits.refusals import Refusals
from api.web.compression import WAITED_KEY
from common.domain.job import NewJob
from common.store.connection.asyncpg_pool import DatabasePool
from common.telemetry import metrics, refusal_reasons
from common.telemetry.metric_families import counters, gauges, histograms

_BUCKETS = metrics.HTTP_DURATION.buckets


class ApiMetrics:
    """The metrics of one API process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self.registry.register(self.requests)
        self.loop_lag = metrics.EVENT_LOOP_LAG.histogram(self.registry)
        self.irregular_requests = metrics.IRREGULAR_REQUESTS.counter(self.registry, *refusal_reasons.IRREGULARITIES)
        self.commit_jobs = metrics.COMMIT_JOBS.histogram(self.registry)
        self.commit_wait = metrics.COMMIT_WAIT.histogram(self.registry)
        self.commit_duration = metrics.COMMIT_DURATION.histogram(self.registry)
        self.doorbells = metrics.DOORBELLS.counter(self.registry, *metrics.DOORBELL_OUTCOMES)
        self.refusals = Refusals(self.registry)
        self.long_polls = metrics.LONG_POLLS.counter(self.registry, *metrics.LONG_POLL_OUTCOMES)
        self._waiting_clients = metrics.WAITING_CLIENTS.gauge(
            self.registry, metrics.RESULT, metrics.EVENTS, metrics.LOGS
        )
        self._accepted = metrics.JOBS_ACCEPTED.counter(self.registry)

    @contextmanager
    def count_waiting_client(self, scope: Scope, waits_for: str) -> Iterator[None]:
        """Count a waiting client. Its request is not in progress meanwhile, and its duration excludes the wait."""
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
        """Count jobs that were committed."""
        counts: dict[tuple[str, str], int] = {}
        for job in jobs:
            labels = job.operation, job.queue
            counts[labels] = counts.get(labels, 0) + 1
        self.add_accepted(counts)

    def add_accepted(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count jobs that were committed, by operation and queue."""
        for labels, count in counts.items():
            self._accepted.labels(*labels).inc(count)


class RequestMetrics(Collector):
    """Counts and durations of answered requests.

    One thread counts in plain numbers: prometheus_client's own metrics, with their locks, took a tenth of the POST/s.
    """

    def __init__(self) -> None:
        self.in_progress = 0
        self._counts: dict[tuple[str, str, int], int] = {}  #: by method, route and status
        #: by method and route: the count in each bucket and beyond the last, then the sum of durations
        self._durations: dict[tuple[str, str], list[float]] = {}
        #: by method and route: for each bucket the last request that is traced
        self._exemplars: dict[tuple[str, str], list[Exemplar | None]] = {}

    def count(self, method: str, route: str, status: int, seconds: float, trace_id: str | None = None) -> None:
        """Count a request. `trace_id`: its trace, None if it is not sampled."""
        labels = method, route, status
        self._counts[labels] = self._counts.get(labels, 0) + 1
        endpoint = method, route
        buckets = self._durations.get(endpoint)
        if buckets is None:
            buckets = self._durations[endpoint] = [0.0] * (len(_BUCKETS) + 2)
            self._exemplars[endpoint] = [None] * (len(_BUCKETS) + 1)
        bucket = bisect_left(_BUCKETS, seconds)
        buckets[bucket] += 1
        buckets[-1] += seconds
        if trace_id is not None:
            self._exemplars[endpoint][bucket] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of all requests so far."""
        yield counters(
            metrics.HTTP_REQUESTS,
            [([method, route, str(status)], count) for (method, route, status), count in list(self._counts.items())],
        )
        durations = list(self._durations.items())
        exemplars = [list(self._exemplars[endpoint]) for endpoint, _ in durations]
        yield histograms(
            metrics.HTTP_DURATION, [(list(endpoint), buckets) for endpoint, buckets in durations], exemplars
        )
        yield gauges(metrics.HTTP_IN_PROGRESS, [([], self.in_progress)])


class PoolGauges(Collector):
    """Gauges of the connection pool, read at each scrape."""

    def __init__(self, pool: DatabasePool, max_connections: int) -> None:
        self._pool = pool
        self._max_connections = max_connections

    def collect(self) -> Iterator[Any]:
        """Yield the connections in use and their limit, and the requests of each lane."""
        pool = self._pool.engine.pool
        used = pool.checkedout() if isinstance(pool, QueuePool) else 0
        yield gauges(metrics.POOL_CONNECTIONS, [(["used"], used), (["max"], self._max_connections)])
        lanes = self._pool.lanes.lanes.items()
        yield gauges(
            metrics.LANE_REQUESTS,
            [
                ([lane, state], count)
                for lane, requests in lanes
                for state, count in (("in_use", requests.in_use), ("waiting", len(requests.waiting)))
            ],
        )
        yield counters(metrics.LANE_REFUSED, [([lane], requests.refused) for lane, requests in lanes])

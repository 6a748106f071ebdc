"""Every metric of jobproc, declared once: name, kind, labels, buckets, and what it says. docs/reference/metrics.md is made from this.

Labels hold what the registry of operations, the routes and this code know, never what a client sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, repeat
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

DOORBELL_OUTCOMES = ("rang", "unanswered", "failed")  # what becomes of a doorbell
RESULT, EVENTS = "result", "events"  # what clients wait for
LONG_POLL_OUTCOMES = ("told", "looked", "time", "left", "refused")
V = TypeVar("V")
OTHER = "other"  # a label whose value is not one of those known


class MetricKind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Component(StrEnum):
    """Which processes expose a metric."""

    API = "api"
    WORKER = "worker"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. The unit is the end of its name."""

    name: str
    kind: MetricKind
    components: tuple[Component, ...]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry, *known: str) -> Counter:
        """Make it, in a registry; `known`: the values of its one label, which are there from the start, so that its first count is a rise."""
        made = Counter(self.name, self.help, self.labels, registry=registry)
        for value in known:
            made.labels(value)
        return made

    def gauge(self, registry: CollectorRegistry, *known: str) -> Gauge:
        """Make it, in a registry; `known`: the values of its one label, which are there from the start: a panel says 0, not "no data"."""
        made = Gauge(self.name, self.help, self.labels, registry=registry)
        for value in known:
            made.labels(value)
        return made

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Make it, in a registry."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


Labelled = Sequence[tuple[Sequence[str], V]]


def gauges(metric: Metric, values: Labelled[float]) -> GaugeMetricFamily:
    """Return a family of gauges with these labels and values, for a collector that knows them already."""
    made = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        made.add_metric(labels, value)
    return made


def counters(metric: Metric, values: Labelled[float]) -> CounterMetricFamily:
    """Return a family of counters with these labels and values."""
    made = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        made.add_metric(labels, value)
    return made


def histograms(metric: Metric, values: Labelled[Sequence[float]], exemplars: Sequence[Sequence[Exemplar | None]] | None = None) -> HistogramMetricFamily:
    """Return a family of histograms; a value is the count in each bucket and beyond the last, then the sum.

    `exemplars`: for each value one of each bucket and of beyond the last, None: there is none. Only the OpenMetrics format shows them.
    """
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(repr(float(bound)) for bound in metric.buckets), "+Inf"]
    for (labels, (*counts, total)), of_buckets in zip(values, exemplars or repeat([None] * len(bounds)), strict=False):
        made.add_metric(labels, list(zip(bounds, accumulate(counts), of_buckets, strict=True)), total)  # type: ignore[arg-type]  # it takes None too
    return made


_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600)
_WAIT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
_COUNT = (1, 2, 5, 10, 25, 50, 100, 200, 400)
_API, _WORKER, _CONTROLLER = (Component.API,), (Component.WORKER,), (Component.CONTROLLER,)

HTTP_REQUESTS = Metric(
    "jobproc_http_requests_total", MetricKind.COUNTER, _API, "Requests that were answered, by the template of their route.", ("method", "route", "status")
)
HTTP_DURATION = Metric(
    "jobproc_http_request_duration_seconds",
    MetricKind.HISTOGRAM,
    _API,
    "Time from the first byte of a request to the last of its answer.",
    ("method", "route"),
    _QUICK,
)
HTTP_IN_PROGRESS = Metric("jobproc_http_requests_in_progress", MetricKind.GAUGE, _API, "Requests that are being answered.")
JOBS_ACCEPTED = Metric("jobproc_jobs_accepted_total", MetricKind.COUNTER, _API, "Jobs whose commit stood.", ("operation", "queue"))
COMMIT_JOBS = Metric("jobproc_commit_jobs", MetricKind.HISTOGRAM, _API, "Single submissions that one commit took together.", (), _COUNT)
COMMIT_WAIT = Metric(
    "jobproc_commit_wait_seconds", MetricKind.HISTOGRAM, _API, "Time from the first submission of a commit to its begin: the commit before.", (), _QUICK
)
COMMIT_DURATION = Metric("jobproc_commit_duration_seconds", MetricKind.HISTOGRAM, _API, "Time of a commit, tries and pauses included.", (), _QUICK)
POOL_CONNECTIONS = Metric("jobproc_database_pool_connections", MetricKind.GAUGE, _API, "Connections of the pool that are in use, and its most.", ("state",))
DOORBELLS = Metric(
    "jobproc_doorbells_total",
    MetricKind.COUNTER,
    (Component.API, Component.CONTROLLER),
    "Doorbells, by what became of them: rang, unanswered (one is waiting already), failed (Redis is away).",
    ("outcome",),
)

WAITING_CLIENTS = Metric(
    "jobproc_waiting_clients",
    MetricKind.GAUGE,
    _API,
    "Clients that wait: for the end of a job (`result`), or read what happens to one (`events`). Not among the requests in progress.",
    ("for",),
)
LONG_POLLS = Metric(
    "jobproc_waits_total",
    MetricKind.COUNTER,
    _API,
    "Waits for the end of a job, by why they ended: told (through Redis), looked (found without), time (it was up), left (the client, or this process), "
    "refused (too many).",
    ("outcome",),
)

ATTEMPTS = Metric(
    "jobproc_attempts_total",
    MetricKind.COUNTER,
    _WORKER,
    "Attempts that ended in this worker: success, failed (the job ends), retried, released (given back, not charged), cancelled (known to be: "
    "one that was asked to stop in its last second may be counted as any other).",
    ("operation", "queue", "outcome"),
)
RUN_DURATION = Metric("jobproc_attempt_duration_seconds", MetricKind.HISTOGRAM, _WORKER, "Time in the operation, one attempt.", ("operation",), _LONG)
START_DELAY = Metric("jobproc_start_delay_seconds", MetricKind.HISTOGRAM, _WORKER, "Time from when a job was due to its claim.", ("queue",), _WAIT)
CLAIM_JOBS = Metric("jobproc_claim_jobs", MetricKind.HISTOGRAM, _WORKER, "Jobs that one claim took.", ("queue",), _COUNT)
EMPTY_CLAIMS = Metric(
    "jobproc_claims_empty_total", MetricKind.COUNTER, _WORKER, "Looks that found no job: after a doorbell, or at the end of a backlog.", ("queue",)
)
RESULTS_FENCED = Metric("jobproc_results_refused_total", MetricKind.COUNTER, _WORKER, "Results that the fence refused: another attempt had the job by then.")
LEASES_LOST = Metric("jobproc_leases_lost_total", MetricKind.COUNTER, _WORKER, "Leases of this worker's processes that had ended when they were to be renewed.")
PROCESS_DEATHS = Metric(
    "jobproc_worker_processes_died_total", MetricKind.COUNTER, _WORKER, "Processes that died or were ended while they ran a job, by why.", ("reason",)
)
WORKER_PROCESSES = Metric("jobproc_worker_processes", MetricKind.GAUGE, _WORKER, "Processes that run a job, and those that do not.", ("state",))
LAST_CLAIM = Metric("jobproc_worker_last_look_timestamp_seconds", MetricKind.GAUGE, _WORKER, "When a process of this worker last looked for work.")

QUEUE_DEPTH = Metric("jobproc_queue_depth", MetricKind.GAUGE, _CONTROLLER, "What a queue needs workers for: due jobs that wait and jobs that run.", ("queue",))
QUEUE_JOBS = Metric(
    "jobproc_queue_jobs", MetricKind.GAUGE, _CONTROLLER, "Due jobs by queue: waiting, and held by a worker; counted up to a cap.", ("queue", "state")
)
OLDEST_DUE = Metric(
    "jobproc_queue_oldest_due_seconds", MetricKind.GAUGE, _CONTROLLER, "How long the oldest job that may run has waited; 0 when none does.", ("queue",)
)
WORKERS_ALIVE = Metric("jobproc_workers_alive", MetricKind.GAUGE, _CONTROLLER, "Worker processes with a lease that serve a queue.", ("queue",))
UNRUNNABLE_JOBS = Metric(
    "jobproc_queue_unknown_jobs",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Due jobs that no living worker of their queue can run: none knows their operation in that version. Counted once a minute by the leader.",
    ("queue",),
)
TABLE_BYTES = Metric("jobproc_table_bytes", MetricKind.GAUGE, _CONTROLLER, "Size of a table with its partitions: its rows, and its indexes.", ("table", "of"))
DEAD_ROWS = Metric(
    "jobproc_table_dead_rows", MetricKind.GAUGE, _CONTROLLER, "Dead rows of a table that vacuum has not taken yet, as PostgreSQL estimates them.", ("table",)
)
OLDEST_TRANSACTION = Metric(
    "jobproc_database_oldest_transaction_seconds",
    MetricKind.GAUGE,
    _CONTROLLER,
    "Age of the oldest transaction on the server; while it is open nothing that died since can be cleaned up.",
)
SCRAPE_ERRORS = Metric(
    "jobproc_scrape_errors_total", MetricKind.COUNTER, _CONTROLLER, "Scrapes in which the database could not be read; what it tells is absent then."
)
LEADING = Metric("jobproc_controller_leading", MetricKind.GAUGE, _CONTROLLER, "1 while this controller leads.")
TASK_LAST_SUCCESS = Metric(
    "jobproc_controller_duty_last_done_timestamp_seconds", MetricKind.GAUGE, _CONTROLLER, "When a duty of the leader was last done.", ("duty",)
)
TASK_JOBS = Metric("jobproc_controller_jobs_total", MetricKind.COUNTER, _CONTROLLER, "Jobs that a duty of the leader has moved.", ("duty",))
BULK_ACTION_JOBS = Metric(
    "jobproc_action_jobs_total",
    MetricKind.COUNTER,
    _CONTROLLER,
    "Jobs that had their turn in an action, by what it does and what became of it: done, skipped, undo_done, undo_skipped.",
    ("action", "result"),
)

ALL = [value for value in list(globals().values()) if isinstance(value, Metric)]

"""Whether jobs come in, run and end, how long that takes, and what waits."""

from common.telemetry import metrics
from k8s.dashboards.foreign import deployed
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import highest, quantile, rate, told

ENDED = "success|failed"
SUCCESS = f"{rate(metrics.ATTEMPTS, outcome='success')} / {rate(metrics.ATTEMPTS, outcome=ENDED)}"
SUCCESS_OF_OPERATION = f"{rate(metrics.ATTEMPTS, ['operation'], outcome='success')} / {rate(metrics.ATTEMPTS, ['operation'], outcome=ENDED)}"

NOW = Row(
    "Now",
    (
        figure("Accepted", "ops", "Jobs that were stored, each second. What clients send; 0 means nobody asks.", rate(metrics.JOBS_ACCEPTED)),
        figure(
            "Ended",
            "ops",
            "Jobs that ended in a worker, each second. Over minutes as many as are accepted; less means that a backlog grows.",
            rate(metrics.ATTEMPTS, outcome=ENDED),
        ),
        figure(
            "Success",
            "percentunit",
            "Share of ended jobs that succeeded. Normal is what your operations allow, near 100 %. Empty while nothing ends.",
            SUCCESS,
            warn=0.9,
            low_is_bad=True,
            most=1,
        ),
        figure(
            "Depth",
            "short",
            "Due jobs that wait and jobs that run. Normal is a figure that comes back to 0; counting stops at JOBPROC_GAUGE_CAP_JOBS a queue.",
            told(metrics.QUEUE_DEPTH),
        ),
        figure(
            "Oldest due job",
            "s",
            "How long the oldest job that may run has waited, over all queues. Normal is seconds; the time to start a pod when workers scale from zero.",
            highest(metrics.OLDEST_DUE),
            warn=120,
        ),
        figure(
            "Worker processes",
            "short",
            "Processes with a lease, counted once for each queue that they serve. 0 is normal only where workers scale to zero and nothing waits.",
            told(metrics.WORKERS_ALIVE),
        ),
    ),
)

THROUGHPUT = Row(
    "Throughput",
    (
        graph(
            "Accepted by operation",
            "ops",
            "Jobs that were stored, each second. Follows your clients.",
            Query(rate(metrics.JOBS_ACCEPTED, ["operation"]), "{{operation}}"),
            stacked=True,
        ),
        graph(
            "Ended by operation",
            "ops",
            "Jobs that ended in a worker, each second, success or not. Follows what is accepted; flat below it means that workers are the limit.",
            Query(rate(metrics.ATTEMPTS, ["operation"], outcome=ENDED), "{{operation}}"),
            stacked=True,
        ),
        graph(
            "Success by operation",
            "percentunit",
            "Share of an operation's ended jobs that succeeded; retries that are still to come do not count. Normal is a flat line near 100 %.",
            Query(SUCCESS_OF_OPERATION, "{{operation}}"),
            most=1,
        ),
        graph(
            "Attempts by outcome",
            "ops",
            "How attempts end: success, failed (the job ends), retried, released (given back when a worker leaves), cancelled. Retries are normal in small "
            "shares, releases when pods go.",
            Query(rate(metrics.ATTEMPTS, ["outcome"]), "{{outcome}}"),
        ),
    ),
)

TIME = Row(
    "Time",
    (
        graph(
            "Time to start",
            "s",
            "From when a job was due to its claim. Normal is milliseconds while a worker is idle; it grows as soon as jobs come faster than they end. "
            "The objective is 99 % within 30 s.",
            *(Query(quantile(share, metrics.START_DELAY), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
            warn=30,
        ),
        graph(
            "Time to start by queue, p95",
            "s",
            "The same for each queue: which one waits. A queue of long jobs waits longer by its nature.",
            Query(quantile(0.95, metrics.START_DELAY, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Run time",
            "s",
            "Time in the operation, one attempt, over all that are chosen. Choose one operation to read it: a mix of quick and long ones says little.",
            *(Query(quantile(share, metrics.RUN_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Run time by operation, p95",
            "s",
            "Normal is what the operation took last week. Ended processes (time limit, crash) are not in it.",
            Query(quantile(0.95, metrics.RUN_DURATION, ["operation"]), "{{operation}}"),
        ),
    ),
)

BACKLOG = Row(
    "Backlog",
    (
        graph(
            "Depth by state",
            "short",
            "Due jobs that wait (queued) and jobs that a worker holds (running). Jobs of the future are not in it. A gap is a failed read, never 0.",
            Query(told(metrics.QUEUE_JOBS, ["state"]), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Oldest due job by queue",
            "s",
            "How long the oldest job that may run has waited. Rising one second each second means that nobody takes jobs of this queue.",
            Query(highest(metrics.OLDEST_DUE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Pods against depth",
            "short",
            "Pods of the workers (right) follow the depth (left) within a polling interval and the start of a pod, and go after the cooldown. "
            "Needs kube-state-metrics.",
            Query(told(metrics.QUEUE_DEPTH), "depth"),
            Query(f"sum({deployed('kube_deployment_status_replicas')})", "pods", right=True),
            width=24,
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard("overview", "overview", "Jobs in, jobs out, how long it takes, what waits.", (NOW, THROUGHPUT, TIME, BACKLOG))

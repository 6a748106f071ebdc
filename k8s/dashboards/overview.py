"""Overview: jobs accepted and finished, start and execution times, the backlog."""

from common.telemetry import metrics
from k8s.dashboards.panels import Query, Row, dashboard, figure, graph
from k8s.dashboards.queries import deduplicated_sum, highest, pool_deployments, quantile, rate

FINISHED = "success|failed"
SUCCESS = f"{rate(metrics.ATTEMPTS, outcome='success')} / {rate(metrics.ATTEMPTS, outcome=FINISHED)}"
SUCCESS_BY_OPERATION = (
    f"{rate(metrics.ATTEMPTS, ['operation'], outcome='success')}"
    f" / {rate(metrics.ATTEMPTS, ['operation'], outcome=FINISHED)}"
)

NOW = Row(
    "Now",
    (
        figure(
            "Accepted",
            "ops",
            "Stored jobs per second. The load from clients; 0 means that no client submits.",
            rate(metrics.JOBS_ACCEPTED),
        ),
        figure(
            "Finished",
            "ops",
            "Jobs per second that a worker finished. Over minutes it equals the accepted jobs; if it is lower, a "
            "backlog grows.",
            rate(metrics.ATTEMPTS, outcome=FINISHED),
        ),
        figure(
            "Success",
            "percentunit",
            "Share of finished jobs that succeeded. Normal depends on your operations, near 100 %. Empty while no job "
            "finishes.",
            SUCCESS,
            warn=0.9,
            low_is_bad=True,
            max_value=1,
        ),
        figure(
            "Depth",
            "short",
            "Due jobs that wait, and running jobs. Normally it returns to 0. Counting stops at "
            "JOBPROC_QUEUE_COUNT_LIMIT in each queue.",
            deduplicated_sum(metrics.QUEUE_DEPTH),
        ),
        figure(
            "Oldest due job",
            "s",
            "Age of the oldest due job that waits, over all queues. Normal is seconds, or the start time of a pod if "
            "workers scale from zero.",
            highest(metrics.OLDEST_DUE),
            warn=120,
        ),
        figure(
            "Worker processes",
            "short",
            "Processes with a lease, counted once for each queue that they serve. 0 is normal only if workers scale to "
            "zero and no job waits.",
            deduplicated_sum(metrics.WORKERS_ALIVE),
        ),
    ),
)

THROUGHPUT = Row(
    "Throughput",
    (
        graph(
            "Accepted by operation",
            "ops",
            "Stored jobs per second. Follows the load from your clients.",
            Query(rate(metrics.JOBS_ACCEPTED, ["operation"]), "{{operation}}"),
            stacked=True,
        ),
        graph(
            "Finished by operation",
            "ops",
            "Jobs per second that a worker finished, successful or not. Follows the accepted jobs; if it is flat below "
            "them, workers are the bottleneck.",
            Query(rate(metrics.ATTEMPTS, ["operation"], outcome=FINISHED), "{{operation}}"),
            stacked=True,
        ),
        graph(
            "Success by operation",
            "percentunit",
            "Share of an operation's finished jobs that succeeded; attempts that will be retried do not count. Normal "
            "is a flat line near 100 %.",
            Query(SUCCESS_BY_OPERATION, "{{operation}}"),
            max_value=1,
        ),
        graph(
            "Attempts by outcome",
            "ops",
            "Attempts per second by outcome: success, failed (the job ends), retried, released (by a worker that shuts "
            "down), cancelled. A small share of retries is normal, and so are releases when pods are removed.",
            Query(rate(metrics.ATTEMPTS, ["outcome"]), "{{outcome}}"),
        ),
    ),
)

TIME = Row(
    "Time",
    (
        graph(
            "Start latency",
            "s",
            "Time from when a job was due to its claim. Normal is milliseconds while a worker is idle; it grows as "
            "soon as jobs arrive faster than they finish. The objective is 99 % within 30 s.",
            *(Query(quantile(share, metrics.START_DELAY), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
            warn=30,
        ),
        graph(
            "Start latency by queue, p95",
            "s",
            "Time from when a job was due to its claim, for each queue. A queue of long jobs waits longer by nature.",
            Query(quantile(0.95, metrics.START_DELAY, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Execution time",
            "s",
            "Time of one attempt in the operation, over all selected operations. Select one operation: a mix of short "
            "and long ones says little.",
            *(Query(quantile(share, metrics.RUN_DURATION), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
        ),
        graph(
            "Execution time by operation, p95",
            "s",
            "Normal is the value of last week. Attempts whose process was killed (timeout, crash) are not included.",
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
            "queued: due jobs that wait. running: jobs that a worker holds. Scheduled jobs that are not due are not "
            "included. A gap is a failed read, never 0.",
            Query(deduplicated_sum(metrics.QUEUE_JOBS, ["state"]), "{{state}}"),
            stacked=True,
        ),
        graph(
            "Oldest due job by queue",
            "s",
            "Age of the oldest due job that waits. If it rises by one second each second, no worker claims jobs of "
            "this queue.",
            Query(highest(metrics.OLDEST_DUE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Pods and depth",
            "short",
            "Worker pods (right axis) follow the depth (left axis) within a polling interval and the start time of a "
            "pod, and are removed after the cooldown. Needs kube-state-metrics.",
            Query(deduplicated_sum(metrics.QUEUE_DEPTH), "depth"),
            Query(f"sum({pool_deployments('kube_deployment_status_replicas')})", "pods", right_axis=True),
            width=24,
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard(
        "overview",
        "overview",
        "Jobs accepted and finished, start and execution times, the backlog.",
        (NOW, THROUGHPUT, TIME, BACKLOG),
    )

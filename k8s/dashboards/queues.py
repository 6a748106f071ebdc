"""Queues, schedules and autoscaling: depths, the values that KEDA reads, its actions."""

from common.telemetry import metrics, schedule_metrics
from common.telemetry.feature_metrics import feed
from common.telemetry.feature_metrics import webhooks as webhook_metrics
from k8s.dashboards.panels import Query, Row, dashboard, graph
from k8s.dashboards.queries import (
    deduplicated_sum,
    highest,
    increase,
    keda,
    pool_autoscalers,
    pool_deployments,
    since,
    total,
)

QUEUES = Row(
    "Queues",
    (
        graph(
            "Depth by queue",
            "short",
            "Due jobs that wait, and running jobs; workers scale on it. A gap is a failed read, never 0. Counting "
            "stops at JOBPROC_QUEUE_COUNT_LIMIT.",
            Query(deduplicated_sum(metrics.QUEUE_DEPTH, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Workers alive by queue",
            "short",
            "Processes with a lease that serve the queue. Normal is above 0 wherever the depth is, after the start "
            "time of a pod.",
            Query(deduplicated_sum(metrics.WORKERS_ALIVE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Queued and running jobs",
            "short",
            "queued: due jobs that wait. running: jobs that a worker holds. If there are only running ones, workers "
            "keep up.",
            Query(deduplicated_sum(metrics.QUEUE_JOBS, ["queue", "state"]), "{{queue}} {{state}}"),
        ),
        graph(
            "Oldest due job by queue",
            "s",
            "Age of the oldest due job that waits. Normal is seconds, or the start time of a pod if workers scale from "
            "zero.",
            Query(highest(metrics.OLDEST_DUE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Unrunnable jobs",
            "short",
            "Due jobs whose operation, or its version, no live worker of the queue knows. Normal is 0; during a "
            "rollout jobs may wait for the new workers.",
            Query(highest(metrics.UNRUNNABLE_JOBS, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Parked jobs",
            "short",
            "Due jobs that wait for a unique key which a running job holds, or for the limits of their concurrency "
            "key. No part of the depth: more workers would not run them.",
            Query(highest(metrics.PARKED_JOBS, ["queue", "kind"]), "{{queue}}, {{kind}}"),
        ),
    ),
)

SCHEDULES = Row(
    "Schedules",
    (
        graph(
            "Instants of schedules",
            "short",
            "Decided instants by outcome. Missed ones were late, and refused ones could not be submitted; both are "
            "normally 0.",
            Query(increase(schedule_metrics.FIRES, ["outcome"]), "{{outcome}}"),
        ),
        graph(
            "Lateness of schedules",
            "s",
            "Time for which the oldest instant has been due. Normal is below a second or two.",
            Query(highest(schedule_metrics.LATENESS), "late"),
        ),
        graph(
            "Lag of the change feed",
            "s",
            "Time for which the oldest change of a followed queue has waited for its number. Normal is below a second "
            "or two.",
            Query(highest(feed.LAG), "lag"),
        ),
    ),
)

WEBHOOKS = Row(
    "Webhooks",
    (
        graph(
            "Attempts to deliver",
            "short",
            "Attempts to deliver events by outcome. Released ones have found no place at their endpoint, or its "
            "circuit is open.",
            Query(increase(metrics.ATTEMPTS, ["outcome"], operation="jobproc.webhook"), "{{outcome}}"),
        ),
        graph(
            "Endpoints by state",
            "short",
            "FAILING ones have failed several times in a row, and one delivery at a time tries.",
            Query(highest(webhook_metrics.ENDPOINTS, ["state"]), "{{state}}"),
        ),
        graph(
            "Oldest event",
            "s",
            "Age of the oldest event of an ACTIVE endpoint that is not delivered. Normal is below a minute.",
            Query(highest(webhook_metrics.OLDEST_UNDELIVERED), "oldest"),
        ),
    ),
)

AUTOSCALING = Row(
    "Autoscaling",
    (
        graph(
            "KEDA's value and depth",
            "short",
            "The value of each trigger, and the depth that the controllers export. The two lines of a queue are at "
            "most a polling interval apart. Needs KEDA's metrics.",
            Query(keda("keda_scaler_metrics_value"), "KEDA {{scaledObject}} {{metric}}"),
            Query(deduplicated_sum(metrics.QUEUE_DEPTH, ["queue"]), "depth {{queue}}"),
        ),
        graph(
            "Pods by pool",
            "short",
            "Pods of each pool's Deployment, and those that are ready. If the ready ones lag behind, pods do not "
            "start. Needs kube-state-metrics.",
            Query(pool_deployments("kube_deployment_status_replicas"), "{{deployment}}"),
            Query(pool_deployments("kube_deployment_status_replicas_ready"), "{{deployment}} ready"),
        ),
        graph(
            "Desired pods and their maximum",
            "short",
            "Pods that the HorizontalPodAutoscaler of each pool requests, and its maximum. If it is at the maximum "
            "while the oldest due job gets older, raise maxReplicas. Needs kube-state-metrics.",
            Query(
                pool_autoscalers("kube_horizontalpodautoscaler_status_desired_replicas"),
                "{{horizontalpodautoscaler}} desired",
            ),
            Query(
                pool_autoscalers("kube_horizontalpodautoscaler_spec_max_replicas"),
                "{{horizontalpodautoscaler}} maximum",
            ),
        ),
        graph(
            "Active",
            "short",
            "1 while KEDA keeps the pool above zero pods, 0 while it may scale to zero. It is 1 while the depth is "
            "above 0, and during the cooldown. Needs KEDA's metrics.",
            Query(keda("keda_scaler_active"), "{{scaledObject}} {{metric}}"),
            max_value=1,
        ),
        graph(
            "Scaler errors",
            "short",
            "Failed reads of a trigger by KEDA. Normal is 0. While reads fail, the number of workers stays. Needs "
            "KEDA's metrics.",
            Query(keda("keda_scaled_object_errors_total", "sum", "scaledObject", window=True), "{{scaledObject}}"),
        ),
        graph(
            "Read time of KEDA",
            "s",
            "Duration of a read of a trigger. Normal is milliseconds; seconds mean a slow controller, Prometheus or "
            "database. Needs KEDA's metrics.",
            Query(keda("keda_scaler_metrics_latency_seconds"), "{{scaledObject}} {{metric}}"),
        ),
    ),
)

CONTROLLERS = Row(
    "Controllers",
    (
        graph(
            "Leaders",
            "short",
            "Controllers that lead. Normal is 1 in each namespace; 0 or 2 only for moments, while the lead changes.",
            Query(total(metrics.LEADING, ["namespace"]), "{{namespace}}"),
        ),
        graph(
            "Age of controller tasks",
            "s",
            "Time since each task of the leader last succeeded. Normal is about a second for rescue, strays and "
            "doorbells, a minute for orphaned_jobs, ten minutes for partitions and workers.",
            Query(since(metrics.TASK_LAST_SUCCESS, ["namespace"], ["task"]), "{{task}}"),
        ),
        graph(
            "Failed reads",
            "short",
            "Scrapes in which a controller could not read the database; depth and sizes are then absent. Normal is 0.",
            Query(increase(metrics.SCRAPE_ERRORS, ["pod"]), "{{pod}}"),
            width=24,
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard(
        "queues",
        "queues and autoscaling",
        "Queues, the values that KEDA reads, and its actions.",
        (QUEUES, SCHEDULES, WEBHOOKS, AUTOSCALING, CONTROLLERS),
    )

"""Queues, what the autoscaler sees of them, and what it did."""

from common.telemetry import metrics
from k8s.dashboards.foreign import deployed, keda, limited
from k8s.dashboards.panels import Query, Row, dashboard, graph
from k8s.dashboards.queries import highest, increase, since, told, total

QUEUES = Row(
    "Queues",
    (
        graph(
            "Depth by queue",
            "short",
            "Due jobs that wait and jobs that run; what workers are scaled on. A gap is a failed read, never 0. Counting stops at JOBPROC_GAUGE_CAP_JOBS.",
            Query(told(metrics.QUEUE_DEPTH, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Workers alive by queue",
            "short",
            "Processes with a lease that serve the queue. Normal is above 0 wherever the depth is, after the time to start a pod.",
            Query(told(metrics.WORKERS_ALIVE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Waiting and running",
            "short",
            "queued: due jobs that wait. running: held by a worker. Only running ones means that workers keep up.",
            Query(told(metrics.QUEUE_JOBS, ["queue", "state"]), "{{queue}} {{state}}"),
        ),
        graph(
            "Oldest due job by queue",
            "s",
            "How long the oldest job that may run has waited. Normal is seconds, and from zero pods the time to start one.",
            Query(highest(metrics.OLDEST_DUE, ["queue"]), "{{queue}}"),
        ),
        graph(
            "Jobs that nobody can run",
            "short",
            "Due jobs whose operation, or its version, no living worker of the queue knows. Normal is 0, and in a rollout as many as wait for the new workers.",
            Query(highest(metrics.UNRUNNABLE_JOBS, ["queue"]), "{{queue}}"),
        ),
    ),
)

AUTOSCALING = Row(
    "Autoscaling",
    (
        graph(
            "What KEDA sees",
            "short",
            "The value of each trigger, against the depth that the controllers tell. The two lines of a queue are at most a polling "
            "interval apart. Needs KEDA's metrics.",
            Query(keda("keda_scaler_metrics_value"), "KEDA {{scaledObject}} {{metric}}"),
            Query(told(metrics.QUEUE_DEPTH, ["queue"]), "depth {{queue}}"),
        ),
        graph(
            "What it did: pods by pool",
            "short",
            "Pods that a pool's Deployment has, and those that are ready. Ready ones that stay behind mean that pods do not start. Needs kube-state-metrics.",
            Query(deployed("kube_deployment_status_replicas"), "{{deployment}}"),
            Query(deployed("kube_deployment_status_replicas_ready"), "{{deployment}} ready"),
        ),
        graph(
            "Pods wanted, and their limit",
            "short",
            "What the HorizontalPodAutoscaler of each pool asks for, and the most that it may. At the limit while the oldest due job grows: raise maxReplicas. "
            "Needs kube-state-metrics.",
            Query(limited("kube_horizontalpodautoscaler_status_desired_replicas"), "{{horizontalpodautoscaler}} wanted"),
            Query(limited("kube_horizontalpodautoscaler_spec_max_replicas"), "{{horizontalpodautoscaler}} at most"),
        ),
        graph(
            "Active",
            "short",
            "1 while KEDA keeps the pool above zero pods, 0 while it may have none. Follows whether the depth is 0, and the cooldown. Needs KEDA's metrics.",
            Query(keda("keda_scaler_active"), "{{scaledObject}} {{metric}}"),
            most=1,
        ),
        graph(
            "Errors of the scalers",
            "short",
            "How often KEDA could not read a trigger. Normal is 0. While it fails the count of workers stays. Needs KEDA's metrics.",
            Query(keda("keda_scaled_object_errors_total", "sum", "scaledObject", window=True), "{{scaledObject}}"),
        ),
        graph(
            "Time that KEDA needs to read",
            "s",
            "How long a look at a trigger takes. Normal is milliseconds; seconds mean a slow controller, Prometheus or database. Needs KEDA's metrics.",
            Query(keda("keda_scaler_metrics_latency_seconds"), "{{scaledObject}} {{metric}}"),
        ),
    ),
)

CONTROLLERS = Row(
    "Controllers",
    (
        graph(
            "Leading",
            "short",
            "Controllers that say that they lead. Normal is 1 in each namespace; 0 or 2 only for moments, as the lead changes.",
            Query(total(metrics.LEADING, ["namespace"]), "{{namespace}}"),
        ),
        graph(
            "Age of duties",
            "s",
            "Since a duty of the leader was last done. Normal is about a second for rescue, strays and ringing, a minute for leftovers, "
            "ten for partitions and workers.",
            Query(since(metrics.TASK_LAST_SUCCESS, ["namespace"], ["duty"]), "{{duty}}"),
        ),
        graph(
            "Reads that failed",
            "short",
            "Scrapes in which a controller could not read the database; depth and sizes are absent then. Normal is 0.",
            Query(increase(metrics.SCRAPE_ERRORS, ["pod"]), "{{pod}}"),
            width=24,
        ),
    ),
)


def text() -> str:
    """Return the dashboard."""
    return dashboard("queues", "queues and autoscaling", "Queues, what the autoscaler sees of them, and what it did.", (QUEUES, AUTOSCALING, CONTROLLERS))

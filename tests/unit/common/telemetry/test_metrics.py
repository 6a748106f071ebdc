"""The labels of metrics: each has few values, so the number of series is bounded."""

from common.telemetry import metrics

#: Values of these come from the registry of operations, the routes, the queues, or this code.
BOUNDED = {
    "operation", "queue", "route", "method", "status", "outcome", "reason", "state", "kind", "lane", "table", "part",
    "task", "action", "result",
}  # fmt: skip


def test_no_label_has_a_value_for_each_pod_process_client_or_job() -> None:
    labels = {label for metric in metrics.ALL for label in metric.labels}
    assert labels <= BOUNDED
    assert {"queue", "operation", "route"} <= labels

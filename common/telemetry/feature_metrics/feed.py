"""Metrics of the change feed."""

from common.telemetry.metric_families import Component, Metric, MetricKind

LAG = Metric(
    "jobproc_feed_lag_seconds",
    MetricKind.GAUGE,
    (Component.CONTROLLER,),
    "Time for which the oldest change of a followed queue has waited for its number; until then no client reads it. "
    "0: none waits.",
)

ALL = [LAG]

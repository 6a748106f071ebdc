"""Metrics of schedules."""

from common.domain.schedules.policies import FireOutcome
from common.telemetry.metric_families import Component, Metric, MetricKind

FIRES = Metric(
    "jobproc_schedule_fires_total",
    MetricKind.COUNTER,
    (Component.CONTROLLER,),
    f"Decided instants of schedules, by outcome: {', '.join(FireOutcome)}. Runs that a client asked for are not among "
    "them.",
    ("outcome",),
)
LATENESS = Metric(
    "jobproc_schedule_lateness_seconds",
    MetricKind.GAUGE,
    (Component.CONTROLLER,),
    "Time for which the oldest instant of a schedule has been due without a decision. 0: none is due.",
)

ALL = [FIRES, LATENESS]

"""The metric of dropped lines of job logs, and its reasons."""

from common.telemetry.metric_families import Component, Metric, MetricKind

RATE, BUFFER, REFUSED, CAPTURE = DROP_REASONS = ("rate", "buffer", "refused", "capture")

JOB_LOG_LINES_DROPPED = Metric(
    "jobproc_job_log_lines_dropped_total",
    MetricKind.COUNTER,
    (Component.WORKER,),
    "Lines of operations that were dropped, by reason: rate (an attempt logged more than "
    "JOBPROC_OPERATION_LOG_LINES_PER_SECOND), buffer (logged but not stored, because the database did not take lines "
    "as fast as they came, or was away), refused (PostgreSQL refused them), capture (a line could not be read).",
    ("reason",),
)

ALL = (JOB_LOG_LINES_DROPPED,)

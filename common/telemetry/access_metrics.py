"""The metrics of who calls the API."""

from common.telemetry.metric_families import Component, Metric, MetricKind

FETCH_OUTCOMES = ("ok", "failed")

ISSUER_FETCHES = Metric(
    "jobproc_issuer_fetches_total",
    MetricKind.COUNTER,
    (Component.API,),
    "Reads of the OpenID provider's keys, by outcome: ok, failed.",
    ("outcome",),
)
ISSUER_LAST_SUCCESS = Metric(
    "jobproc_issuer_last_success_timestamp_seconds",
    MetricKind.GAUGE,
    (Component.API,),
    "Time of the last successful read of the OpenID provider's keys; 0 if there was none.",
)

ALL = (ISSUER_FETCHES, ISSUER_LAST_SUCCESS)

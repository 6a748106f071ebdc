"""Metrics of webhooks. Attempts to deliver are those of the operation `jobproc.webhook` in jobproc_attempts_total."""

from common.domain.webhooks.events import EndpointState
from common.telemetry.metric_families import Component, Metric, MetricKind

ENDPOINTS = Metric(
    "jobproc_webhook_endpoints",
    MetricKind.GAUGE,
    (Component.CONTROLLER,),
    f"Endpoints of webhooks by state: {', '.join(EndpointState)}.",
    ("state",),
)
OLDEST_UNDELIVERED = Metric(
    "jobproc_webhook_oldest_undelivered_seconds",
    MetricKind.GAUGE,
    (Component.CONTROLLER,),
    "Age of the oldest delivery that has neither succeeded nor been given up, of endpoints that are ACTIVE. Of the "
    "deliveries that wait, the first thousand in the order of their queue are looked at. 0: there is none.",
)

ALL = [ENDPOINTS, OLDEST_UNDELIVERED]

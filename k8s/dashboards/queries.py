"""PromQL queries. A label that a declared metric does not have is an error here, not an empty panel in Grafana.

The first part queries jobproc's own metrics, the second part those of KEDA, kube-state-metrics and postgres_exporter.
"""

from collections.abc import Sequence

from common.telemetry.metric_families import Metric, MetricKind

#: Labels that every series gets from the scrape.
SCRAPED = ("namespace", "pod")
NAMESPACE = 'namespace=~"$namespace"'
#: Label of a metric → the matcher with its dashboard variable.
FILTERS = {"queue": 'queue=~"$queue"', "operation": 'operation=~"$operation"'}
RATE = "$__rate_interval"
WORKERS = ".*-worker-.*"  # the chart's name of a pool's Deployment, and of its ScaledObject


def _check_labels(metric: Metric, labels: Sequence[str]) -> None:
    unknown = set(labels) - {*metric.labels, *SCRAPED, "le"}
    if unknown:
        raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}")


def _check_kind(metric: Metric, *kinds: MetricKind) -> None:
    if metric.kind not in kinds:
        raise ValueError(f"{metric.name} is a {metric.kind}")


def selector(metric: Metric, suffix: str = "", **where: str) -> str:
    """Return the series of a metric that the dashboard variables select. `where`: label → pattern."""
    _check_labels(metric, list(where))
    matchers = [NAMESPACE, *(text for label, text in FILTERS.items() if label in metric.labels)]
    matchers += [f'{label}=~"{pattern}"' for label, pattern in where.items()]
    return f"{metric.name}{suffix}{{{','.join(matchers)}}}"


def _grouped(aggregate: str, by: Sequence[str], inner: str) -> str:
    return f"{aggregate} by ({', '.join(by)}) ({inner})" if by else f"{aggregate}({inner})"


def rate(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the rate of a counter, per second."""
    _check_kind(metric, MetricKind.COUNTER)
    _check_labels(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, **where)}[{RATE}])")


def increase(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the increase of a counter in an interval: for rare events, whose rate is unreadable."""
    _check_kind(metric, MetricKind.COUNTER)
    _check_labels(metric, by)
    return _grouped("sum", by, f"increase({selector(metric, **where)}[{RATE}])")


def observed(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the rate of observations of a histogram, per second."""
    _check_kind(metric, MetricKind.HISTOGRAM)
    _check_labels(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, '_count', **where)}[{RATE}])")


def summed(metric: Metric, by: Sequence[str] = ()) -> str:
    """Return the sum of the observed values of a histogram, per second."""
    _check_kind(metric, MetricKind.HISTOGRAM)
    _check_labels(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, '_sum')}[{RATE}])")


def mean(metric: Metric, by: Sequence[str] = ()) -> str:
    """Return the mean of the observed values of a histogram."""
    return f"{summed(metric, by)} / {observed(metric, by)}"


def quantile(share: float, metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return a quantile of a histogram; `share` is 0 to 1."""
    _check_kind(metric, MetricKind.HISTOGRAM)
    _check_labels(metric, by)
    buckets = f"rate({selector(metric, '_bucket', **where)}[{RATE}])"
    return f"histogram_quantile({share:g}, {_grouped('sum', ['le', *by], buckets)})"


def total(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the sum of a gauge over the processes that expose it."""
    _check_kind(metric, MetricKind.GAUGE)
    _check_labels(metric, by)
    return _grouped("sum", by, selector(metric, **where))


def highest(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the maximum of a gauge."""
    _check_kind(metric, MetricKind.GAUGE)
    _check_labels(metric, by)
    return _grouped("max", by, selector(metric, **where))


def deduplicated_sum(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the sum of a gauge that every controller of a namespace exports; each value is counted once."""
    _check_kind(metric, MetricKind.GAUGE)
    _check_labels(metric, by)
    other_labels = [label for label in metric.labels if label not in by]
    return _grouped("sum", by, f"max by ({', '.join(['namespace', *by, *other_labels])}) ({selector(metric, **where)})")


def since(metric: Metric, newest_of: Sequence[str], by: Sequence[str] = ()) -> str:
    """Return the seconds since the timestamp in a gauge: the newest for each `newest_of`, and the oldest of these."""
    return _grouped("max", by, f"time() - {highest(metric, [*newest_of, *by])}")


def pool_deployments(metric: str) -> str:
    """Return a metric of kube-state-metrics for the Deployments of the pools."""
    return f'max by (deployment) ({metric}{{{NAMESPACE},deployment=~"{WORKERS}"}})'


def pool_autoscalers(metric: str) -> str:
    """Return a metric of kube-state-metrics for the HorizontalPodAutoscalers of the pools."""
    return f'max by (horizontalpodautoscaler) ({metric}{{{NAMESPACE},horizontalpodautoscaler=~"{WORKERS}"}})'


def keda(metric: str, aggregate: str = "max", by: str = "scaledObject, metric", *, window: bool = False) -> str:
    """Return a metric of KEDA for the ScaledObjects of the pools. `window`: its increase in an interval.

    A scrape without `honorLabels` sets `namespace` to KEDA's, and `exported_namespace` to that of the ScaledObject.
    """
    interval = f"[{RATE}]" if window else ""

    def query(namespace_label: str) -> str:
        series = f'{metric}{{{namespace_label}=~"$namespace",scaledObject=~"{WORKERS}"}}{interval}'
        return f"{aggregate} by ({by}) ({f'increase({series})' if window else series})"

    return f"{query('exported_namespace')} or {query('namespace')}"


def restarts(container: str) -> str:
    """Return the restarts of containers by name pattern, from kube-state-metrics."""
    series = f'kube_pod_container_status_restarts_total{{{NAMESPACE},container=~"{container}"}}'
    return f"sum by (pod) (increase({series}[{RATE}]))"


def out_of_memory(container: str) -> str:
    """Return the containers that were last terminated as OOMKilled, by name pattern, from kube-state-metrics."""
    matchers = f'{NAMESPACE},container=~"{container}",reason="OOMKilled"'
    return f"sum by (pod) (kube_pod_container_status_last_terminated_reason{{{matchers}}})"


def statements(metric: str) -> str:
    """Return the ten highest statements by a metric of postgres_exporter, whose namespace may be any."""
    return f'topk(10, sum by (queryid) (rate({metric}{{datname!~"template.*"}}[{RATE}])))'

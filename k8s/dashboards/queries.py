"""PromQL from declared metrics: a label that a metric does not have is an error here, not an empty panel there."""

from collections.abc import Sequence

from common.telemetry.metrics import Metric, MetricKind

#: Labels that every series gets from whoever scrapes it.
SCRAPED = ("namespace", "pod")
NAMESPACE = 'namespace=~"$namespace"'
#: Label of a metric to the variable that filters it.
FILTERS = {"queue": 'queue=~"$queue"', "operation": 'operation=~"$operation"'}
RATE = "$__rate_interval"


def _known(metric: Metric, labels: Sequence[str]) -> None:
    unknown = set(labels) - {*metric.labels, *SCRAPED, "le"}
    if unknown:
        raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}")


def _of_kind(metric: Metric, *kinds: MetricKind) -> None:
    if metric.kind not in kinds:
        raise ValueError(f"{metric.name} is a {metric.kind}")


def selector(metric: Metric, suffix: str = "", **where: str) -> str:
    """Return the series of a metric that the variables let through; `where`: a label and its pattern."""
    _known(metric, list(where))
    matchers = [NAMESPACE, *(text for label, text in FILTERS.items() if label in metric.labels)]
    matchers += [f'{label}=~"{pattern}"' for label, pattern in where.items()]
    return f"{metric.name}{suffix}{{{','.join(matchers)}}}"


def _grouped(aggregate: str, by: Sequence[str], inner: str) -> str:
    return f"{aggregate} by ({', '.join(by)}) ({inner})" if by else f"{aggregate}({inner})"


def rate(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return how often a counter counts, each second."""
    _of_kind(metric, MetricKind.COUNTER)
    _known(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, **where)}[{RATE}])")


def increase(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return what a counter has counted in an interval: for what is rare, where a rate says nothing to a reader."""
    _of_kind(metric, MetricKind.COUNTER)
    _known(metric, by)
    return _grouped("sum", by, f"increase({selector(metric, **where)}[{RATE}])")


def observed(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return how often a histogram observes, each second."""
    _of_kind(metric, MetricKind.HISTOGRAM)
    _known(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, '_count', **where)}[{RATE}])")


def summed(metric: Metric, by: Sequence[str] = ()) -> str:
    """Return the sum of what a histogram observes, each second."""
    _of_kind(metric, MetricKind.HISTOGRAM)
    _known(metric, by)
    return _grouped("sum", by, f"rate({selector(metric, '_sum')}[{RATE}])")


def mean(metric: Metric, by: Sequence[str] = ()) -> str:
    """Return the mean of what a histogram observes."""
    return f"{summed(metric, by)} / {observed(metric, by)}"


def quantile(share: float, metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return a quantile of a histogram."""
    _of_kind(metric, MetricKind.HISTOGRAM)
    _known(metric, by)
    buckets = f"rate({selector(metric, '_bucket', **where)}[{RATE}])"
    return f"histogram_quantile({share:g}, {_grouped('sum', ['le', *by], buckets)})"


def total(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the sum of a gauge over the processes that expose it."""
    _of_kind(metric, MetricKind.GAUGE)
    _known(metric, by)
    return _grouped("sum", by, selector(metric, **where))


def highest(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the highest of a gauge."""
    _of_kind(metric, MetricKind.GAUGE)
    _known(metric, by)
    return _grouped("max", by, selector(metric, **where))


def told(metric: Metric, by: Sequence[str] = (), **where: str) -> str:
    """Return the sum of a gauge that every controller of a namespace tells: each value is counted once."""
    _of_kind(metric, MetricKind.GAUGE)
    _known(metric, by)
    own = [label for label in metric.labels if label not in by]
    return _grouped("sum", by, f"max by ({', '.join(['namespace', *by, *own])}) ({selector(metric, **where)})")


def since(metric: Metric, of: Sequence[str], by: Sequence[str] = ()) -> str:
    """Return the seconds since a moment that a gauge tells: the newest of each `of`, and of these the longest ago."""
    return _grouped("max", by, f"time() - {highest(metric, [*of, *by])}")

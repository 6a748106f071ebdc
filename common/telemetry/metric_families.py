"""The declaration of a metric (`Metric`), and the metric families that a collector builds from values that it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, repeat
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.samples import Exemplar

V = TypeVar("V")


class MetricKind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Component(StrEnum):
    """A process that exposes metrics."""

    API = "api"
    WORKER = "worker"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Metric:
    """The declaration of a metric. Its name ends with its unit."""

    name: str
    kind: MetricKind
    components: tuple[Component, ...]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def counter(self, registry: CollectorRegistry, *known: str) -> Counter:
        """Register a counter. `known` are values of its only label: they start at 0, so their first count is a rise."""
        counter = Counter(self.name, self.help, self.labels, registry=registry)
        for value in known:
            counter.labels(value)
        return counter

    def gauge(self, registry: CollectorRegistry, *known: str) -> Gauge:
        """Register a gauge. `known` are values of its only label: they start at 0, so a panel never says "no data"."""
        gauge = Gauge(self.name, self.help, self.labels, registry=registry)
        for value in known:
            gauge.labels(value)
        return gauge

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Register a histogram."""
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


Labelled = Sequence[tuple[Sequence[str], V]]


def gauges(metric: Metric, values: Labelled[float]) -> GaugeMetricFamily:
    """Return a family of gauges with these labels and values."""
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def counters(metric: Metric, values: Labelled[float]) -> CounterMetricFamily:
    """Return a family of counters with these labels and values."""
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def histograms(
    metric: Metric, values: Labelled[Sequence[float]], exemplars: Sequence[Sequence[Exemplar | None]] | None = None
) -> HistogramMetricFamily:
    """Return a family of histograms. A value is the count in each bucket and above the last one, then the sum.

    `exemplars` has, for each value, one exemplar for each bucket and one above the last, or None. Only the OpenMetrics
    format shows them.
    """
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(repr(float(bound)) for bound in metric.buckets), "+Inf"]
    for (labels, (*counts, total)), of_buckets in zip(values, exemplars or repeat([None] * len(bounds)), strict=False):
        buckets = list(zip(bounds, accumulate(counts), of_buckets, strict=True))
        family.add_metric(labels, buckets, total)  # type: ignore[arg-type]  # an exemplar may be None at run time
    return family

"""PromQL as far as the tests parse it: the metrics of an expression and their labels."""

import re
from collections.abc import Iterator

from common.telemetry.metric_families import MetricKind
from common.telemetry.metrics import ALL

#: Labels that Prometheus adds to every series that it scrapes.
SCRAPED = {"namespace", "pod", "job", "instance"}
_KEDA = {"exported_namespace", "scaledObject", "metric", "scaler", "type"}
#: Metrics of other exporters that dashboards and alerts may use, and their labels.
FOREIGN = {
    "keda_scaler_metrics_value": _KEDA,
    "keda_scaler_metrics_latency_seconds": _KEDA,
    "keda_scaler_active": _KEDA,
    "keda_scaled_object_errors_total": {"exported_namespace", "scaledObject"},
    "kube_deployment_status_replicas": {"deployment"},
    "kube_deployment_status_replicas_ready": {"deployment"},
    "kube_horizontalpodautoscaler_status_desired_replicas": {"horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"horizontalpodautoscaler"},
    "kube_pod_container_status_restarts_total": {"container"},
    "kube_pod_container_status_last_terminated_reason": {"container", "reason"},
    "pg_stat_statements_seconds_total": {"datname", "queryid"},
    "pg_stat_statements_calls_total": {"datname", "queryid"},
}
_HISTOGRAM: dict[str, set[str]] = {"_bucket": {"le"}, "_sum": set(), "_count": set()}
_WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUP = re.compile(r"\b(by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)")
_NAME = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?! *\()(\{[^}]*\})?")
_AGGREGATE = re.compile(r"\b(?:sum|max|min|avg|count) by \(([^)]*)\) \(")


def _known() -> dict[str, set[str]]:
    """Return the labels of every possible series, by its name."""
    series = {name: labels | SCRAPED for name, labels in FOREIGN.items()}
    for metric in ALL:
        suffixes = _HISTOGRAM if metric.kind is MetricKind.HISTOGRAM else {"": set[str]()}
        series |= {metric.name + suffix: {*metric.labels, *labels, *SCRAPED} for suffix, labels in suffixes.items()}
    return series


KNOWN = _known()


def metrics(expr: str) -> list[tuple[str, str]]:
    """Return the metrics of an expression, each with its matchers."""
    bare = _GROUP.sub("", re.sub(r"\[[^\]]*\]", "", _TEXT.sub('""', expr)))
    pairs = [(match[1], match[2] or "") for match in _NAME.finditer(bare)]
    return [(name, matchers) for name, matchers in pairs if name not in _WORDS]


def _operands(expr: str) -> Iterator[tuple[set[str], str]]:
    """Yield the labels of each aggregation and its operand."""
    for match in _AGGREGATE.finditer(expr):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expr[end], 0)
            end += 1
        yield {label.strip() for label in match[1].split(",")}, expr[match.end() : end - 1]


def faults(expr: str) -> list[str]:
    """Return an error for each metric and label in an expression that does not exist."""
    errors = []
    for name, matchers in metrics(expr):
        if name not in KNOWN:
            errors.append(f"{name}: no such metric")
            continue
        errors += [
            f"{name}: no label {label}"
            for label in re.findall(r"(\w+) *(?:=~|!~|!=|=)", matchers)
            if label not in KNOWN[name]
        ]
    for labels, operand in _operands(_TEXT.sub('""', expr)):
        for name, _ in metrics(operand):
            errors += [f"{name}: no label {label} to group by" for label in sorted(labels - KNOWN.get(name, labels))]
    return errors

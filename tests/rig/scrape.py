"""The metrics of a process, scraped as Prometheus scrapes them."""

from typing import Any

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rig.system import System
from tools.servers import free_port


class MetricsPage:
    """The /metrics page of a process that was started with JOBPROC_METRICS_PORT=page.port."""

    def __init__(self) -> None:
        self.port = str(free_port())

    def text(self, accept: str = "text/plain") -> str:
        response = httpx.get(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept}, timeout=10)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(accept.partition(";")[0])
        return response.text

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def traces(self) -> dict[tuple[str, str], str]:
        """Return the trace ids of the exemplars, by the metric's name and its last label other than `le`."""
        text = self.text("application/openmetrics-text; version=1.0.0")
        families = openmetrics(text)  # type: ignore[no-untyped-call]  # the library has no types here
        samples = [sample for family in families for sample in family.samples if sample.exemplar]
        return {
            (
                sample.name.removesuffix("_bucket"),
                [value for label, value in sample.labels.items() if label != "le"][-1],
            ): sample.exemplar.labels["trace_id"]
            for sample in samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a series, None if it is absent."""
        return self.samples().get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the series that have these labels."""
        matchers = set(labels.items())
        return sum(value for (series, pairs), value in self.samples().items() if series == name and matchers <= pairs)


def stored(system: System, sql: str) -> dict[str, Any]:
    """Return the pairs that a query selects as a dictionary."""
    return dict(system.database.rows(sql))

"""The metrics of a process, read as Prometheus reads them."""

from typing import Any

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rig.system import System
from tools.servers import free_port


class Page:
    """/metrics of one process; start the process with JOBPROC_METRICS_PORT=page.port."""

    def __init__(self) -> None:
        self.port = str(free_port())

    def text(self, accept: str = "text/plain") -> str:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/metrics", headers={"Accept": accept}, timeout=10)
        assert answer.status_code == 200
        return answer.text

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {(s.name, frozenset(s.labels.items())): s.value for family in text_string_to_metric_families(self.text()) for s in family.samples}

    def traces(self) -> dict[tuple[str, str], str]:
        """Return the trace that each metric points to, by its name and the last label it has beside its bucket."""
        families = openmetrics(self.text("application/openmetrics-text; version=1.0.0"))  # type: ignore[no-untyped-call]  # the library has no types here
        samples = [sample for family in families for sample in family.samples if sample.exemplar]
        return {(s.name.removesuffix("_bucket"), [v for k, v in s.labels.items() if k != "le"][-1]): s.exemplar.labels["trace_id"] for s in samples}

    def value(self, name: str, **labels: str) -> float | None:
        """Return a series; None when it is absent."""
        return self.samples().get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the series that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, have), value in self.samples().items() if found == name and wanted <= have)


def stored(system: System, sql: str) -> dict[str, Any]:
    """Return pairs of the database as a dictionary."""
    return dict(system.database.rows(sql))

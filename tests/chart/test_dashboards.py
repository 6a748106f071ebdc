"""The dashboards: made by the code, of metrics that exist, explained, in a form that Grafana 11 reads."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chart.manifests import CHART, ROOT
from chart.promql import faults, metrics
from chart.promtool import check

from common.telemetry import metrics as declared
from k8s.dashboards import FILES, queries
from k8s.dashboards.panels import Query, Row, graph, placed

MADE = {Path(name).stem: json.loads(make()) for name, make in FILES.items()}
DASHBOARDS = sorted(MADE)
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels of a dashboard, without its headings."""
    return [panel for panel in MADE[name]["panels"] if panel["type"] != "row"]


def expressions(name: str) -> list[str]:
    """Return the queries of a dashboard."""
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def test_there_is_one_for_each_part_and_no_other() -> None:
    assert DASHBOARDS == ["api", "database", "overview", "queues", "workers"]
    assert sorted(path.stem for path in (CHART / "dashboards").glob("*.json")) == DASHBOARDS


@pytest.mark.parametrize("path", FILES)
def test_the_file_in_the_chart_is_what_the_code_makes(path: str) -> None:
    assert (ROOT / path).read_text() == FILES[path]()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_metric_exists_and_has_the_labels_that_are_asked_for(name: str) -> None:
    for expr in expressions(name):
        assert metrics(expr), expr
        assert faults(expr) == [], expr


@pytest.mark.parametrize("name", DASHBOARDS)
def test_prometheus_understands_every_query(name: str, tmp_path: Path) -> None:
    plain = [VARIABLE.sub("x", expr.replace("$__rate_interval", "1m")) for expr in expressions(name)]
    check(tmp_path, [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(plain)])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_has_a_unit_and_says_what_it_tells(name: str) -> None:
    for panel in panels(name):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"].split()) >= 5, panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_panel_of_others_metrics_says_whose_it_needs(name: str) -> None:
    owners = {"kube_": "kube-state-metrics", "keda_": "KEDA's metrics", "pg_": "postgres_exporter"}
    for panel in panels(name):
        for start, owner in owners.items():
            if any(series.startswith(start) for target in panel["targets"] for series, _ in metrics(target["expr"])):
                assert f"Needs {owner}" in panel["description"], panel["title"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_line_can_be_told_from_the_others(name: str) -> None:
    for panel in panels(name):
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends)
        assert all(legends) or panel["type"] == "stat", panel["title"]
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b[^)]*\)", target["expr"]), f"{panel['title']}: {label} is not there"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_that_is_used_is_there_and_the_other_way_round(name: str) -> None:
    listed = {one["name"]: one for one in MADE[name]["templating"]["list"]}
    used = set(VARIABLE.findall(" ".join(expressions(name)))) - {"__rate_interval"}
    assert used == set(listed) - {"datasource"}
    assert {"datasource", "namespace"} <= set(listed)
    for variable in listed.values():
        if variable["type"] == "query":
            assert variable["multi"] and variable["includeAll"] and variable["allValue"] == ".*"
            assert faults(re.sub(r"label_values\((.*), \w+\)", r"\1", variable["definition"])) == []
        assert variable.get("datasource", {"uid": "${datasource}"})["uid"] == "${datasource}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_only_the_namespaces_that_are_chosen_are_shown(name: str) -> None:
    """But for postgres_exporter, which may be anywhere."""
    for expr in expressions(name):
        series = len([one for one, _ in metrics(expr) if not one.startswith("pg_")])
        assert len(re.findall(r'namespace=~"\$namespace"', expr)) == series, expr


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_two_controllers_say_is_counted_once(name: str) -> None:
    gauges = {one.name for one in declared.ALL if declared.Component.CONTROLLER in one.components and one.kind is declared.MetricKind.GAUGE} - {
        declared.LEADING.name
    }
    for expr in expressions(name):
        for gauge in re.findall(r"(\w+)\{", expr):
            if gauge in gauges:
                assert re.search(rf"max(?: by \([^)]*\) )?\({gauge}\{{", expr), expr


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_11_can_read_it(name: str) -> None:
    made = MADE[name]
    assert made["schemaVersion"] == 39
    assert made["uid"] == f"jobproc-{name}"
    numbers = [panel["id"] for panel in made["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(name):
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_panels_lie_over_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MADE[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", series) for name in DASHBOARDS for expr in expressions(name) for series, _ in metrics(expr)}
    assert {metric.name for metric in declared.ALL} <= shown


def test_a_query_for_a_label_that_a_metric_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="jobproc_queue_depth has no label operation"):
        queries.told(declared.QUEUE_DEPTH, ["operation"])
    with pytest.raises(ValueError, match="has no label colour"):
        queries.rate(declared.ATTEMPTS, colour="red")
    with pytest.raises(ValueError, match="jobproc_queue_depth is a gauge"):
        queries.rate(declared.QUEUE_DEPTH)


def test_a_full_line_of_panels_is_followed_by_the_next() -> None:
    panel = graph("Title", "short", "What it tells.", Query("up", "up"))
    at = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in placed([Row("First", (panel, panel, panel)), Row("Second", (panel,))])]
    assert at == [(0, 0), (0, 1), (12, 1), (0, 9), (0, 17), (0, 18)]


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("jobproc_queue_dept", "jobproc_queue_dept: no such metric"),
        ("rate(jobproc_start_delay_seconds[5m])", "jobproc_start_delay_seconds: no such metric"),
        ('jobproc_queue_depth{quue="x"}', "jobproc_queue_depth: no label quue"),
        ("sum by (operation) (jobproc_queue_depth)", "jobproc_queue_depth: no label operation to group by"),
        ("sum by (queue) (max by (queue, state) (jobproc_queue_depth))", "jobproc_queue_depth: no label state to group by"),
        ("sum(up) or vector(0)", "up: no such metric"),
    ],
)
def test_a_query_that_would_show_nothing_is_found(expr: str, fault: str) -> None:
    assert faults(expr) == [fault]

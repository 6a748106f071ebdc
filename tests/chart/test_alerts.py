"""The alerts: their metrics exist, they are explained, each has a runbook and fires in the right cases only."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, ROOT
from chart.promql import KNOWN, faults, metrics
from chart.promtool import promtool

from common.telemetry.metrics import START_DELAY

RUNBOOKS = "docs/operate/runbooks"
ALERTS = CHART / "alerts"
CASES = ROOT / "tests" / "chart" / "alerts"
FILES = sorted(ALERTS.glob("*.yaml"))
PARTS = ["Meaning", "Impact", "How to look", "What to do"]
Rule = dict[str, Any]

RULES: list[Rule] = [
    rule for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
NAMES = sorted({rule["alert"] for rule in RULES})
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")


def test_the_documented_alerts_exist_and_no_alert_is_there_twice() -> None:
    assert {
        "JobprocDepthUnknown",
        "JobprocScalerFailing",
        "JobprocSubmitErrors",
        "JobprocJobStartLatency",
        "JobprocJobsWithoutWorkers",
    } <= set(NAMES)
    groups = [group["name"] for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    assert len(set(groups)) == len(groups)
    pairs = [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]
    assert len(set(pairs)) == len(pairs)


@each_rule
def test_an_alert_has_a_severity_a_description_and_a_runbook(rule: Rule) -> None:
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"


@each_rule
def test_every_metric_of_a_rule_exists_with_its_labels(rule: Rule) -> None:
    assert metrics(rule["expr"])
    assert faults(rule["expr"]) == []


@each_rule
def test_an_alert_has_every_label_that_its_texts_name(rule: Rule) -> None:
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert all(label in labels for labels in re.findall(r"by \(([^)]*)\)", rule["expr"])), label


@each_rule
def test_a_rule_distinguishes_the_releases_of_several_namespaces(rule: Rule) -> None:
    """KEDA's errors are an exception: the name of their namespace label depends on how they are scraped."""
    groupings = re.findall(r"by \(([^)]*)\)", rule["expr"])
    assert all("namespace" in labels or labels == "scaledObject" for labels in groupings)


@each_rule
def test_every_bucket_of_a_rule_exists_in_the_histogram(rule: Rule) -> None:
    assert set(re.findall(r'\ble="([^"]*)"', rule["expr"])) <= {repr(float(bound)) for bound in START_DELAY.buckets}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(path.stem for path in (ROOT / RUNBOOKS).glob("*.md") if path.name != "README.md") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_four_sections_and_at_most_50_lines(name: str) -> None:
    text = (ROOT / RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= 50
    assert "```" in text.partition("## How to look")[2].partition("## What to do")[0], "something to type"


@pytest.mark.parametrize("name", NAMES)
def test_the_metrics_and_values_of_a_runbook_exist(name: str) -> None:
    text = (ROOT / RUNBOOKS / f"{name}.md").read_text()
    assert [
        fault
        for block in re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for expr in block.splitlines()
        for fault in faults(expr)
    ] == []
    assert {
        metric
        for metric in re.findall(r"`(jobproc_\w+)`", text)
        if metric not in KNOWN and f"{metric}_count" not in KNOWN
    } == set()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(rf"`((?:{'|'.join(values)})(?:\.[A-Za-z]+)+)", text):
        part = values
        for key in path.split("."):
            assert key in part, path
            part = part[key]


@pytest.mark.parametrize("name", NAMES)
def test_the_index_of_the_runbooks_has_every_alert_and_its_severity(name: str) -> None:
    (row,) = [
        line
        for line in (ROOT / RUNBOOKS / "README.md").read_text().splitlines()
        if line.startswith(f"| [{name}]({name}.md) |")
    ]
    assert all(rule["labels"]["severity"] in row for rule in RULES if rule["alert"] == name)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_promtool_accepts_every_rule(file: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", file)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_an_alert_fires_in_its_cases_only(file: Path) -> None:
    """The cases of a file of alerts are in tests/chart/alerts, in the format of Prometheus' unit tests."""
    assert "SUCCESS" in promtool("test", "rules", CASES / file.name)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(file: Path) -> None:
    cases = yaml.safe_load((CASES / file.name).read_text())
    assert cases["rule_files"] == [f"../../../charts/jobproc/alerts/{file.name}"]
    checks = [check for case in cases["tests"] for check in case["promql_expr_test"]]
    for rule in (rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]):
        of_rule = [check for check in checks if f'alertname="{rule["alert"]}"' in check["expr"]]
        firing = [sample["labels"] for check in of_rule for sample in check["exp_samples"]]
        assert any(
            'alertstate="firing"' in labels and f'severity="{rule["labels"]["severity"]}"' in labels
            for labels in firing
        ), rule["alert"]
        assert any(not check["exp_samples"] for check in of_rule), rule["alert"]

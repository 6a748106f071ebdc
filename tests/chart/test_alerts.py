"""The alerts: of metrics that exist, explained, each with a runbook, firing when they should and only then."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types
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

RULES: list[Rule] = [rule for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
NAMES = sorted({rule["alert"] for rule in RULES})
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")


def test_what_was_promised_is_there() -> None:
    assert {"JobprocDepthUnknown", "JobprocScalerFailing", "JobprocSubmitErrors", "JobprocStartsLate", "JobprocJobsWithoutWorkers"} <= set(NAMES)
    groups = [group["name"] for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    assert len(set(groups)) == len(groups)
    pairs = [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]
    assert len(set(pairs)) == len(pairs)


@each_rule
def test_an_alert_says_how_bad_it_is_what_is_hurt_and_where_to_read_on(rule: Rule) -> None:
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"


@each_rule
def test_every_metric_exists_and_has_the_labels_that_are_asked_for(rule: Rule) -> None:
    assert metrics(rule["expr"])
    assert faults(rule["expr"]) == []


@each_rule
def test_a_label_that_a_text_names_is_one_that_the_alert_has(rule: Rule) -> None:
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert all(label in found for found in re.findall(r"by \(([^)]*)\)", rule["expr"])), label


@each_rule
def test_releases_in_several_namespaces_are_told_apart(rule: Rule) -> None:
    """But for KEDA's errors, whose namespace has another name with each way to scrape it."""
    assert all("namespace" in found or found == "scaledObject" for found in re.findall(r"by \(([^)]*)\)", rule["expr"]))


@each_rule
def test_a_bucket_that_is_named_is_one_that_the_histogram_has(rule: Rule) -> None:
    assert set(re.findall(r'\ble="([^"]*)"', rule["expr"])) <= {repr(float(bound)) for bound in START_DELAY.buckets}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert sorted(path.stem for path in (ROOT / RUNBOOKS).glob("*.md") if path.name != "README.md") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_the_same_parts_and_fits_on_a_screen(name: str) -> None:
    text = (ROOT / RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= 50
    assert "```" in text.partition("## How to look")[2].partition("## What to do")[0], "something to type"


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_asks_for_metrics_and_values_that_exist(name: str) -> None:
    text = (ROOT / RUNBOOKS / f"{name}.md").read_text()
    assert [
        fault for block in re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for expr in block.splitlines() for fault in faults(expr)
    ] == []
    assert {one for one in re.findall(r"`(jobproc_\w+)`", text) if one not in KNOWN and f"{one}_count" not in KNOWN} == set()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(rf"`((?:{'|'.join(values)})(?:\.[A-Za-z]+)+)", text):
        found = values
        for key in path.split("."):
            assert key in found, path
            found = found[key]


@pytest.mark.parametrize("name", NAMES)
def test_the_index_of_the_runbooks_has_every_alert_and_how_bad_it_is(name: str) -> None:
    (row,) = [line for line in (ROOT / RUNBOOKS / "README.md").read_text().splitlines() if line.startswith(f"| [{name}]({name}.md) |")]
    assert all(rule["labels"]["severity"] in row for rule in RULES if rule["alert"] == name)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_prometheus_understands_every_rule(file: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", file)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_an_alert_fires_when_it_should_and_only_then(file: Path) -> None:
    """Each file of alerts has a file of cases beside this one, in Prometheus' own form."""
    assert "SUCCESS" in promtool("test", "rules", CASES / file.name)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(file: Path) -> None:
    made = yaml.safe_load((CASES / file.name).read_text())
    assert made["rule_files"] == [f"../../../charts/jobproc/alerts/{file.name}"]
    expected = [one for case in made["tests"] for one in case["promql_expr_test"]]
    for rule in (rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]):
        of = [one for one in expected if f'alertname="{rule["alert"]}"' in one["expr"]]
        fires = [sample["labels"] for one in of for sample in one["exp_samples"]]
        assert any('alertstate="firing"' in labels and f'severity="{rule["labels"]["severity"]}"' in labels for labels in fires), rule["alert"]
        assert any(not one["exp_samples"] for one in of), rule["alert"]

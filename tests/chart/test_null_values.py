"""Values that are null, as an empty section of a values file is; labels and names that could break an object."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, Object, environment, render, selects, template

pytestmark = pytest.mark.needs("helm")

LONGEST = "r" * 53  # of the names of releases, by Helm
#: Of names that become labels: of a StatefulSet with a hash of eleven more. Others may have 253.
MOST_CHARACTERS = {"StatefulSet": 52, "Service": 63, "Job": 63, "Pod": 63}


def _empty(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each map and list that is empty by default."""
    for key, value in values.items():
        if value in ({}, []):
            yield (*path, key)
        elif isinstance(value, dict):
            yield from _empty(value, (*path, key))


def test_a_map_or_list_that_is_empty_by_default_may_be_null(tmp_path: Path) -> None:
    nulls: dict[str, Any] = {}
    paths = list(_empty(yaml.safe_load((CHART / "values.yaml").read_text())))
    for *parents, key in paths:
        part = nulls
        for parent in parents:
            part = part.setdefault(parent, {})
        part[key] = None
    assert {("settings",), ("commonLabels",), ("api", "podLabels"), ("api", "allowedHosts")} <= set(paths)
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(nulls))
    done = template("--values", str(file))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "section", ["ingress", "keda", "metrics", "api.serviceAccount", "controller.service", "images.api"]
)
def test_a_section_that_the_templates_need_is_named_if_it_is_null(section: str) -> None:
    done = template("--set", f"{section}=null")
    assert f"missing property '{section.rpartition('.')[2]}'" in done.stderr


def test_labels_of_the_values_cannot_break_a_selector() -> None:
    own = "app\\.kubernetes\\.io/name"
    release = render("default", f"commonLabels.{own}=other", f"api.podLabels.{own}=other", "commonLabels.team=a")
    workloads = [*release.all("Deployment"), *release.all("StatefulSet")]
    for workload in workloads:
        selector = workload["spec"]["selector"]["matchLabels"]
        assert selects(selector, workload["spec"]["template"]), workload["metadata"]["name"]
    assert release.get("Deployment", "jobproc-api")["metadata"]["labels"]["team"] == "a"


def test_an_annotation_of_a_pod_replaces_that_of_the_chart_and_is_there_once() -> None:
    annotation = ("--set-string", "api.podAnnotations.checksum/credentials=mine")
    done = template(*annotation, "--show-only", "templates/api-deployment.yaml")
    assert done.stdout.count("checksum/credentials") == 1
    deployment: Object = yaml.safe_load(done.stdout)
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {"checksum/credentials": "mine"}


@pytest.mark.parametrize("release", [LONGEST, "12345", "1e5"], ids=["of 53 characters", "an integer", "a float"])
def test_names_and_labels_fit_kubernetes_whatever_the_name_of_the_release(release: str) -> None:
    rendered = render("observed", release=release)
    for object_ in rendered.objects:
        name, kind = object_["metadata"]["name"], object_["kind"]
        assert len(name) <= MOST_CHARACTERS.get(kind, 253), (kind, name)
    labels = [object_["metadata"].get("labels", {}) for object_ in rendered.objects]
    labels += [pod["metadata"].get("labels", {}) for _, pod in rendered.pods()]
    values = [value for part in labels for value in part.values()]
    assert [value for value in values if not isinstance(value, str) or len(value) > 63] == []
    for workload in rendered.all("Deployment"):
        assert workload["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == release


def test_a_name_that_keda_would_not_scale_is_refused_with_a_sentence() -> None:
    """KEDA names an autoscaler and a label after it, with a prefix."""
    values = ("--values", str(CHART / "ci" / "keda-values.yaml"))
    assert template(*values, release="r" * 31).returncode == 0, "r…r-jobproc-worker-default has 54 characters"
    refused = template(*values, release="r" * 32)
    assert f"and {'r' * 32}-jobproc-worker-default has 55: choose a shorter name" in refused.stderr
    assert template(*values, "--set", "fullnameOverride=jobs", release="r" * 53).returncode == 0


def test_the_pull_secret_reaches_every_pod_also_that_of_the_migration() -> None:
    pods = dict(render("default", "global.imagePullSecrets[0].name=mine").pods())
    assert any("migrate" in name for name in pods)
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "mine"}] for pod in pods.values())


def test_a_large_number_of_a_setting_has_all_its_digits() -> None:
    """Helm reads each number as a float."""
    release = render("default", "settings.JOBPROC_MAX_BODY_BYTES=104857600")
    (container,) = release.get("Deployment", "jobproc-api")["spec"]["template"]["spec"]["containers"]
    assert environment(container)["JOBPROC_MAX_BODY_BYTES"] == "104857600"

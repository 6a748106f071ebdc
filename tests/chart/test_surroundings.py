"""Optional objects of the chart, for gateways, Prometheus, Grafana, platforms and developers."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import CHART, ROOT, Object, containers, environment, helm, render, selects

from common.settings import Settings

pytestmark = pytest.mark.needs("helm")

SKAFFOLD = ROOT / "skaffold.yaml"


def test_no_optional_object_is_rendered_by_default() -> None:
    kinds = {object_["kind"] for object_ in render().objects}
    assert not kinds & {
        "Ingress",
        "HTTPRoute",
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
        "ScaledObject",
        "HorizontalPodAutoscaler",
    }
    assert render().names("ConfigMap") == {"jobproc-redis"}


def test_an_ingress_and_a_route_lead_to_the_api() -> None:
    release = render("exposed")
    ingress = release.get("Ingress", "jobproc-api")
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["rules"] == [
        {
            "host": "jobs.example.org",
            "http": {
                "paths": [
                    {
                        "path": "/",
                        "pathType": "Prefix",
                        "backend": {"service": {"name": "jobproc-api", "port": {"name": "http"}}},
                    }
                ]
            },
        }
    ]
    assert ingress["spec"]["tls"] == [{"hosts": ["jobs.example.org"], "secretName": "jobs-tls"}]
    route = release.get("HTTPRoute", "jobproc-api")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert route["rules"][0]["backendRefs"] == [{"name": "jobproc-api", "port": 8000}]
    assert release.get("Service", "jobproc-api")["spec"]["ports"][0]["name"] == "http"


def allowed_hosts(topology: str, *sets: str, release: str = "jobproc") -> set[str]:
    """Return the host names under which the API of a topology may be called, as its process reads them."""
    rendered = render(topology, *sets, release=release)
    deployment = next(item for item in rendered.all("Deployment") if item["metadata"]["name"].endswith("-api"))
    variables = environment(deployment["spec"]["template"]["spec"]["containers"][0])
    return set(Settings(allowed_hosts=variables["JOBPROC_ALLOWED_HOSTS"]).hosts)


def test_the_api_knows_the_names_by_which_the_cluster_and_its_gateways_call_it() -> None:
    service = {"jobproc-api.jobs", "jobproc-api.jobs.svc", "jobproc-api.jobs.svc.cluster.local"}
    assert allowed_hosts("default") == service
    assert "x-jobproc-api.jobs" in allowed_hosts("default", release="x")
    assert allowed_hosts("default", "httpRoute.hostnames={off.example}") == service, "no route is created"
    assert allowed_hosts("exposed") == service | {"jobs.example.org"}
    several = ["ingress.hosts[0].host=*.jobs.example", "httpRoute.hostnames={a.example,b.example}"]
    names = {"*.jobs.example", "a.example", "b.example", "c.example"}
    assert allowed_hosts("exposed", *several, "api.allowedHosts={c.example}") == service | names
    every = "ingress.hosts[0].host=,ingress.hosts[0].paths[0].path=/"
    assert allowed_hosts("default", "ingress.enabled=true", every, "api.allowedHosts={*}") == service | {"*"}


def test_monitors_find_the_ports_with_metrics() -> None:
    release = render("observed")
    monitor = release.get("PodMonitor", "jobproc")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selected = {name for name, pod in release.pods() if selects(monitor["spec"]["selector"]["matchLabels"], pod)}
    assert {"jobproc-controller", "jobproc-api", "jobproc-worker-default"} <= selected
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    selector = release.get("ServiceMonitor", "jobproc")["spec"]["selector"]["matchLabels"]
    services = [service["metadata"]["name"] for service in release.all("Service") if selects(selector, service)]
    assert services == ["jobproc-controller"]


def test_the_prometheus_rule_contains_the_alert_files_unchanged() -> None:
    groups = render("observed").get("PrometheusRule", "jobproc")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert "JobprocDepthUnknown" in {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
    files = [yaml.safe_load(path.read_text())["groups"] for path in sorted((CHART / "alerts").glob("*.yaml"))]
    assert groups == [group for file in files for group in file]


def test_the_config_maps_contain_the_dashboards_unchanged() -> None:
    release = render("observed")
    files = sorted((CHART / "dashboards").glob("*.json"))
    assert files
    for file in files:
        config_map = release.get("ConfigMap", f"jobproc-dashboard-{file.stem}")
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config_map["metadata"]["annotations"] == {"grafana_folder": "jobproc"}
        assert config_map["data"] == {file.name: file.read_text()}
        dashboard = json.loads(file.read_text())
        assert all(
            panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
            for panel in dashboard["panels"]
            if panel["type"] != "row"
        )


def test_common_labels_annotations_and_the_registry_are_applied_everywhere() -> None:
    release = render("locked")
    own = [
        object_["metadata"]
        for object_ in release.objects
        if not selects({"app.kubernetes.io/name": "postgresql"}, object_)
        and not selects({"app.kubernetes.io/name": "redis"}, object_)
    ]
    assert all(
        metadata["labels"]["team"] == "jobs" and metadata["annotations"]["owner"] == "jobs@example.org"
        for metadata in own
    )
    for name, pod in release.pods():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], name
        assert all(container["image"].startswith("registry.example.org/mirror/") for container in containers(pod)), name
    images = {container["image"] for _, pod in release.pods() for container in containers(pod)}
    assert f"registry.example.org/mirror/jobproc-api@sha256:{1:064}" in images
    assert "registry.example.org/mirror/postgres:18" in images
    claims = [claim["spec"] for set_ in release.all("StatefulSet") for claim in set_["spec"]["volumeClaimTemplates"]]
    assert [(claim["storageClassName"], claim["resources"]["requests"]["storage"]) for claim in claims] == [
        ("encrypted", "20Gi"),
        ("encrypted", "1Gi"),
    ]


def test_a_component_sets_its_priority_placement_labels_and_mounts() -> None:
    pods = dict(render("locked").pods())
    api, worker, controller = (pods[f"jobproc-{name}"]["spec"] for name in ("api", "worker-default", "controller"))
    assert (api["priorityClassName"], worker["priorityClassName"], controller.get("priorityClassName")) == (
        "high",
        "low",
        None,
    )
    assert api["topologySpreadConstraints"][0]["labelSelector"] == {
        "matchLabels": {"app.kubernetes.io/component": "api"}
    }
    assert [spread["whenUnsatisfiable"] for spread in worker["topologySpreadConstraints"]] == ["DoNotSchedule"]
    assert "nodeAffinity" in worker["affinity"]
    assert pods["jobproc-api"]["metadata"]["labels"]["tier"] == "front"
    assert pods["jobproc-api"]["metadata"]["annotations"]["example.org/scrape"] == "false"
    assert api["securityContext"]["runAsUser"] == 12345
    mounts = {mount["mountPath"]: mount["name"] for mount in api["containers"][0]["volumeMounts"]}
    assert mounts == {"/tmp": "tmp", "/certificates": "certificates"}


def skaffold(profile: str = "") -> Object:
    """Return skaffold.yaml, or one of its profiles."""
    document: Object = yaml.safe_load(SKAFFOLD.read_text())
    return next(item for item in document["profiles"] if item["name"] == profile) if profile else document


def test_skaffold_yaml_conforms_to_its_schema(tmp_path: Path) -> None:
    """Helm is the validator: the test renders a chart with skaffold's schema and skaffold.yaml as its values."""
    folder = os.environ.get("JOBPROC_SCHEMAS")
    if not folder:
        pytest.skip("JOBPROC_SCHEMAS names no folder with skaffold-v4beta13.json")
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: skaffold\nversion: 0.1.0\n")
    shutil.copy(Path(folder) / "skaffold-v4beta13.json", tmp_path / "values.schema.json")
    done = helm("template", str(tmp_path), "--values", str(SKAFFOLD))
    assert done.returncode == 0, done.stderr
    invalid = helm("template", str(tmp_path), "--values", str(SKAFFOLD), "--set", "deploy.helmm=x")
    assert "additional properties 'helmm' not allowed" in invalid.stderr


def test_the_files_and_images_of_skaffold_exist() -> None:
    document: dict[str, Any] = skaffold()
    (release,) = document["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").exists()
    patched = [patch["value"] for patch in skaffold("ci")["patches"] if patch["op"] == "replace"]
    assert all((ROOT / path).exists() for path in [*release["valuesFiles"], *patched[0]])
    for artifact in document["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).exists()
        for sync in artifact["sync"]["manual"]:
            assert list(ROOT.glob(sync["src"])), sync
    assert {artifact["image"] for artifact in document["build"]["artifacts"]} == {"jobproc-api", "jobproc-worker"}
    forwards = [(forward["resourceName"], forward["port"], forward["localPort"]) for forward in document["portForward"]]
    assert forwards == [("jobproc-api", 8000, 8000)]
    assert render("dev").get("Service", "jobproc-api")


def test_a_sync_ends_the_process_whose_pid_the_container_wrote() -> None:
    for name, pod in render("dev").pods():
        if name in {"jobproc-api", "jobproc-controller", "jobproc-worker-default"}:
            assert "echo $child >/tmp/pid" in pod["spec"]["containers"][0]["command"][2], name
    for artifact in skaffold()["build"]["artifacts"]:
        assert artifact["sync"]["hooks"]["after"] == [{"container": {"command": ["sh", "-c", "kill $(cat /tmp/pid)"]}}]

"""What the chart gives to gateways, Prometheus, Grafana, platforms and developers; each behind its switch."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML carries no types
from chart.manifests import CHART, ROOT, Object, containers, helm, render, selects

SKAFFOLD = ROOT / "skaffold.yaml"


def test_none_of_it_is_there_unasked() -> None:
    kinds = {one["kind"] for one in render().objects}
    assert not kinds & {"Ingress", "HTTPRoute", "PodMonitor", "ServiceMonitor", "PrometheusRule", "ScaledObject", "HorizontalPodAutoscaler", "NetworkPolicy"}
    assert render().names("ConfigMap") == {"jobproc-redis"}


def test_an_ingress_and_a_route_lead_to_the_api() -> None:
    release = render("exposed")
    ingress = release.one("Ingress", "jobproc-api")
    assert ingress["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "letsencrypt"}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["rules"] == [
        {
            "host": "jobs.example.org",
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "jobproc-api", "port": {"name": "http"}}}}]},
        }
    ]
    assert ingress["spec"]["tls"] == [{"hosts": ["jobs.example.org"], "secretName": "jobs-tls"}]
    route = release.one("HTTPRoute", "jobproc-api")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert route["rules"][0]["backendRefs"] == [{"name": "jobproc-api", "port": 8000}]
    assert release.one("Service", "jobproc-api")["spec"]["ports"][0]["name"] == "http"


def test_monitors_find_the_ports_with_metrics() -> None:
    release = render("observed")
    monitor = release.one("PodMonitor", "jobproc")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    found = [name for name, pod in release.pods() if selects(monitor["spec"]["selector"]["matchLabels"], pod)]
    assert {"jobproc-controller", "jobproc-api", "jobproc-worker-default"} <= set(found)
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    services = [one for one in release.all("Service") if selects(release.one("ServiceMonitor", "jobproc")["spec"]["selector"]["matchLabels"], one)]
    assert [one["metadata"]["name"] for one in services] == ["jobproc-controller"]


def test_alerts_say_what_is_hurt_and_how_bad_it_is() -> None:
    groups = render("observed").one("PrometheusRule", "jobproc")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert "JobprocDepthUnknown" in {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
    files = [yaml.safe_load(path.read_text())["groups"] for path in sorted((CHART / "alerts").glob("*.yaml"))]
    assert groups == [group for file in files for group in file], "what stands in the files reaches Prometheus unchanged"


def test_dashboards_reach_grafana_as_they_are() -> None:
    release = render("observed")
    files = sorted((CHART / "dashboards").glob("*.json"))
    assert files
    for file in files:
        found = release.one("ConfigMap", f"jobproc-dashboard-{file.stem}")
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "jobproc"}
        assert found["data"] == {file.name: file.read_text()}
        dashboard = json.loads(file.read_text())
        assert all(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in dashboard["panels"] if panel["type"] != "row")


def test_the_labels_annotations_and_images_of_a_platform_are_everywhere() -> None:
    release = render("locked")
    own = [
        one for one in release.objects if not selects({"app.kubernetes.io/name": "postgresql"}, one) and not selects({"app.kubernetes.io/name": "redis"}, one)
    ]
    assert all(one["metadata"]["labels"]["team"] == "jobs" and one["metadata"]["annotations"]["owner"] == "jobs@example.org" for one in own)
    for name, pod in release.pods():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], name
        assert all(container["image"].startswith("registry.example.org/mirror/") for container in containers(pod)), name
    images = {container["image"] for _, pod in release.pods() for container in containers(pod)}
    assert f"registry.example.org/mirror/jobproc-api@sha256:{1:064}" in images
    assert "registry.example.org/mirror/postgres:18" in images
    claims = [claim["spec"] for one in release.all("StatefulSet") for claim in one["spec"]["volumeClaimTemplates"]]
    assert [(claim["storageClassName"], claim["resources"]["requests"]["storage"]) for claim in claims] == [("encrypted", "20Gi"), ("encrypted", "1Gi")]


def test_placement_is_what_the_component_says() -> None:
    pods = dict(render("locked").pods())
    api, worker, controller = (pods[f"jobproc-{name}"]["spec"] for name in ("api", "worker-default", "controller"))
    assert (api["priorityClassName"], worker["priorityClassName"], controller.get("priorityClassName")) == ("high", "low", None)
    assert api["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": {"app.kubernetes.io/component": "api"}}
    assert [one["whenUnsatisfiable"] for one in worker["topologySpreadConstraints"]] == ["DoNotSchedule"]
    assert "nodeAffinity" in worker["affinity"]
    assert pods["jobproc-api"]["metadata"]["labels"]["tier"] == "front"
    assert pods["jobproc-api"]["metadata"]["annotations"]["example.org/scrape"] == "false"
    assert api["securityContext"]["runAsUser"] == 12345
    mounts = {mount["mountPath"]: mount["name"] for mount in api["containers"][0]["volumeMounts"]}
    assert mounts == {"/tmp": "tmp", "/certificates": "certificates"}


def skaffold(profile: str = "") -> Object:
    """Return skaffold.yaml, or one of its profiles."""
    made: Object = yaml.safe_load(SKAFFOLD.read_text())
    return next(one for one in made["profiles"] if one["name"] == profile) if profile else made


def test_skaffold_fits_its_schema(tmp_path: Path) -> None:
    """Helm carries a validator: skaffold.yaml is the values of a chart that has skaffold's schema."""
    folder = os.environ.get("JOBPROC_SCHEMAS")
    if not folder:
        pytest.skip("JOBPROC_SCHEMAS names no folder with skaffold-v4beta13.json")
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: skaffold\nversion: 0.1.0\n")
    shutil.copy(Path(folder) / "skaffold-v4beta13.json", tmp_path / "values.schema.json")
    done = helm("template", str(tmp_path), "--values", str(SKAFFOLD))
    assert done.returncode == 0, done.stderr
    bad = helm("template", str(tmp_path), "--values", str(SKAFFOLD), "--set", "deploy.helmm=x")
    assert "additional properties 'helmm' not allowed" in bad.stderr


def test_skaffold_names_what_exists() -> None:
    made: dict[str, Any] = skaffold()
    (release,) = made["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"] / "Chart.yaml").exists()
    patched = [patch["value"] for patch in skaffold("ci")["patches"] if patch["op"] == "replace"]
    assert all((ROOT / path).exists() for path in [*release["valuesFiles"], *patched[0]])
    for artifact in made["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).exists()
        for sync in artifact["sync"]["manual"]:
            assert list(ROOT.glob(sync["src"])), sync
    assert {artifact["image"] for artifact in made["build"]["artifacts"]} == {"jobproc-api", "jobproc-worker"}
    assert [(one["resourceName"], one["port"], one["localPort"]) for one in made["portForward"]] == [("jobproc-api", 8000, 8000)]
    assert render("dev").one("Service", "jobproc-api")


def test_a_synced_process_ends_by_the_file_that_its_loop_writes() -> None:
    for name, pod in render("dev").pods():
        if name in {"jobproc-api", "jobproc-controller", "jobproc-worker-default"}:
            assert "echo $child >/tmp/pid" in pod["spec"]["containers"][0]["command"][2], name
    for artifact in skaffold()["build"]["artifacts"]:
        assert artifact["sync"]["hooks"]["after"] == [{"container": {"command": ["sh", "-c", "kill $(cat /tmp/pid)"]}}]

"""Every topology of the chart: the rules that all of them follow."""

from pathlib import Path
from typing import Any

import pytest
from chart.manifests import CHART, EXAMPLES, NAMESPACE, TOPOLOGIES, containers, environment, helm, render, selects
from chart.models import errors

from api.limits.addresses import ClientAddresses

pytestmark = pytest.mark.needs("helm")

ALL = [*TOPOLOGIES, *EXAMPLES]
SHIPPED = [topology for topology in ALL if not topology.startswith("dev")]  # skaffold writes into a developer's pods
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
RUNNING = {"Deployment", "StatefulSet"}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_helm_lint_accepts_the_chart(topology: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{topology}-values.yaml"))
    assert done.returncode == 0, done.stdout


def test_helm_lint_accepts_each_subchart() -> None:
    for chart in (CHART / "charts").iterdir():
        done = helm("lint", "--strict", str(chart))
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("topology", ALL)
def test_kubernetes_knows_every_field(topology: str) -> None:
    objects = render(topology).objects
    assert len(objects) > 10
    assert [error for object_ in objects for error in errors(object_)] == []


def test_a_misspelt_field_is_an_error() -> None:
    job: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"backofLimit": 1, "template": {"spec": {"containers": []}}},
    }
    assert errors(job) == ["Job.spec.backofLimit: no such field"]
    job["spec"] = {"backoffLimit": "1", "template": {"spec": {"containers": []}}}
    assert errors(job) == ["Job.spec.backoffLimit: '1' is no int"]
    job["spec"] = {"backoffLimit": 1, "template": {"spec": {"containers": [{"image": "x"}]}}}
    assert "name" in errors(job)[0]


@pytest.mark.parametrize("topology", ALL)
def test_no_two_objects_share_a_name_and_all_are_in_the_namespace(topology: str) -> None:
    objects = render(topology).objects
    names = [(object_["apiVersion"], object_["kind"], object_["metadata"]["name"]) for object_ in objects]
    assert sorted(set(names)) == sorted(names)
    assert {object_["metadata"]["namespace"] for object_ in objects} == {NAMESPACE}
    assert {object_["metadata"]["labels"]["app.kubernetes.io/part-of"] for object_ in objects} == {"jobproc"}


@pytest.mark.parametrize("topology", SHIPPED)
def test_every_pod_passes_the_restricted_level_of_pod_security(topology: str) -> None:
    for name, pod in render(topology).pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"].get("runAsUser") != 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert {source for volume in spec["volumes"] for source in volume if source != "name"} <= RESTRICTED_VOLUMES, (
            name
        )
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


@pytest.mark.parametrize("topology", ALL)
def test_every_container_has_requests_a_memory_limit_and_a_writable_tmp(topology: str) -> None:
    for name, pod in render(topology).pods():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts, name
            assert set(mounts.values()) <= volumes | {"data"}, name


@pytest.mark.parametrize("topology", ALL)
def test_every_workload_has_three_probes_a_budget_and_enough_grace(topology: str) -> None:
    release = render(topology)
    budgets = [budget["spec"] for budget in release.all("PodDisruptionBudget")]
    for kind in RUNNING:
        for workload in release.all(kind):
            name, pod = workload["metadata"]["name"], workload["spec"]["template"]
            for container in pod["spec"]["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name
            assert len([1 for budget in budgets if selects(budget["selector"]["matchLabels"], pod)]) == 1, name
            assert selects(workload["spec"]["selector"]["matchLabels"], pod), name
            graces = [
                int(environment(container)["JOBPROC_SHUTDOWN_GRACE_SECONDS"])
                for container in pod["spec"]["containers"]
                if "JOBPROC_SHUTDOWN_GRACE_SECONDS" in environment(container)
            ]
            pauses = [
                container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
                for container in pod["spec"]["containers"]
            ]
            assert pod["spec"]["terminationGracePeriodSeconds"] >= max([0, *graces]) + max(pauses) + 5, name


@pytest.mark.parametrize("topology", ALL)
def test_no_pod_has_service_links_or_a_token_that_it_does_not_need(topology: str) -> None:
    release = render(topology)
    accounts = release.names("ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in release.all("ServiceAccount"))
    for name, pod in release.pods():
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False, name
        needs_token = any(
            "JOBPROC_POD_DELETION_COST_SELECTOR" in environment(container) for container in spec["containers"]
        )
        assert not needs_token or name == "jobproc-controller", "no pod that runs operations has a token"
        assert spec["automountServiceAccountToken"] is needs_token, name
        assert spec["serviceAccountName"] in accounts | {"default"}, name
        if spec["serviceAccountName"] == "default":
            assert pod["kind"] == "Pod", name


@pytest.mark.parametrize("topology", ALL)
def test_every_pod_of_jobproc_waits_for_the_schema_of_its_version(topology: str) -> None:
    for deployment in render(topology).all("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        (first,) = spec["initContainers"]
        assert first["command"] == ["python", "-m", "common.migrate", "--wait", "300"]
        assert first["image"] == spec["containers"][0]["image"]
        assert environment(first)["DATABASE_URL"] == environment(spec["containers"][0])["DATABASE_URL"]
        assert "REDIS_URL" not in environment(first)


@pytest.mark.parametrize("topology", ALL)
def test_topology_spread_constraints_select_the_pods_of_their_deployment(topology: str) -> None:
    for deployment in render(topology).all("Deployment"):
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert selects(spread["labelSelector"]["matchLabels"], deployment["spec"]["template"])


@pytest.mark.parametrize("topology", ALL)
def test_every_service_selects_pods_with_its_port(topology: str) -> None:
    release = render(topology)
    for service in release.all("Service"):
        pods = [pod for _, pod in release.pods() if selects(service["spec"]["selector"], pod)]
        assert len(pods) == 1, service["metadata"]["name"]
        ports = {
            port["name"]: port["containerPort"]
            for container in pods[0]["spec"]["containers"]
            for port in container["ports"]
        }
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_the_names_and_ports_of_services_are_stable() -> None:
    release = render()
    assert release.get("Service", "jobproc-api")["spec"]["ports"][0]["port"] == 8000
    assert release.get("Service", "jobproc-controller")["spec"]["ports"][0]["port"] == 9000
    assert release.names("Deployment") == {"jobproc-api", "jobproc-controller", "jobproc-worker-default"}
    assert release.names("StatefulSet") == {"jobproc-postgresql", "jobproc-redis"}
    other = render("default", release="blue")
    assert other.names("Service") == {"blue-jobproc-api", "blue-jobproc-controller", "blue-postgresql", "blue-redis"}


def test_each_topology_begins_with_a_comment() -> None:
    files = sorted((CHART / "ci").iterdir())
    assert len(files) > 8
    assert all(Path(file).read_text().startswith("# ") for file in files)


def test_the_probes_of_the_api_use_the_port_that_its_clients_cannot_fill() -> None:
    (container,) = dict(render().pods())["jobproc-api"]["spec"]["containers"]
    assert environment(container)["JOBPROC_METRICS_PORT"] == "9000"
    assert environment(container)["JOBPROC_METRICS_PORT_TRIES"] == "1"
    assert {"name": "metrics", "containerPort": 9000, "protocol": "TCP"} in container["ports"]
    assert {name: container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "startupProbe": {"path": "/livez", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
        "livenessProbe": {"path": "/livez", "port": "metrics"},
    }


ROUTE = (
    "httpRoute.enabled=true",
    "httpRoute.parentRefs[0].name=public",
    "httpRoute.hostnames[0]=jobs.example.org",
)


@pytest.mark.parametrize(("sets", "path"), [((), "/"), (("api.rootPath=/jobproc",), "/jobproc")])
def test_the_api_is_served_under_its_root_path(sets: tuple[str, ...], path: str) -> None:
    release = render("default", *ROUTE, "ingress.enabled=true", "ingress.hosts[0].host=jobs.example.org", *sets)
    (rule,) = release.get("HTTPRoute", "jobproc-api")["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": path}}]
    (host,) = release.get("Ingress", "jobproc-api")["spec"]["rules"]
    assert [served["path"] for served in host["http"]["paths"]] == [path]
    (container,) = dict(release.pods())["jobproc-api"]["spec"]["containers"]
    assert environment(container).get("JOBPROC_ROOT_PATH", "/") == path


PRIVATE = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7"


@pytest.mark.parametrize(
    ("topology", "sets", "trusted"),
    [
        ("default", (), ""),
        ("exposed", (), PRIVATE),
        ("default", ROUTE, PRIVATE),
        ("exposed", ("api.trustedProxies={203.0.113.7,10.1.0.0/16}",), "203.0.113.7,10.1.0.0/16"),
    ],
)
def test_proxies_are_trusted_behind_an_ingress_or_a_gateway(topology: str, sets: tuple[str, ...], trusted: str) -> None:
    (container,) = dict(render(topology, *sets).pods())["jobproc-api"]["spec"]["containers"]
    assert environment(container)["JOBPROC_TRUSTED_PROXIES"] == trusted
    ClientAddresses(trusted)  # the API accepts it

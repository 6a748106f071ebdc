"""Every topology of the chart: what holds for all of them."""

from pathlib import Path
from typing import Any

import pytest
from chart.manifests import CHART, EXAMPLES, NAMESPACE, TOPOLOGIES, containers, environment, helm, render, selects
from chart.models import unfit

ALL = [*TOPOLOGIES, *EXAMPLES]
SHIPPED = [topology for topology in ALL if not topology.startswith("dev")]  # a developer's pods are written into
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
RUNNING = {"Deployment", "StatefulSet"}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_helm_finds_nothing_to_complain_about(topology: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{topology}-values.yaml"))
    assert done.returncode == 0, done.stdout


def test_the_subcharts_render_alone() -> None:
    for chart in (CHART / "charts").iterdir():
        done = helm("lint", "--strict", str(chart))
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("topology", ALL)
def test_kubernetes_knows_every_field(topology: str) -> None:
    objects = render(topology).objects
    assert len(objects) > 10
    assert [wrong for one in objects for wrong in unfit(one)] == []


def test_a_misspelt_field_would_be_found() -> None:
    job: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"backofLimit": 1, "template": {"spec": {"containers": []}}}}
    assert unfit(job) == ["Job.spec.backofLimit: no such field"]
    job["spec"] = {"backoffLimit": "1", "template": {"spec": {"containers": []}}}
    assert unfit(job) == ["Job.spec.backoffLimit: '1' is no int"]
    job["spec"] = {"backoffLimit": 1, "template": {"spec": {"containers": [{"image": "x"}]}}}
    assert "name" in unfit(job)[0]


@pytest.mark.parametrize("topology", ALL)
def test_no_two_objects_share_a_name_and_all_are_in_the_namespace(topology: str) -> None:
    objects = render(topology).objects
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects]
    assert sorted(set(names)) == sorted(names)
    assert {one["metadata"]["namespace"] for one in objects} == {NAMESPACE}
    assert {one["metadata"]["labels"]["app.kubernetes.io/part-of"] for one in objects} == {"jobproc"}


@pytest.mark.parametrize("topology", SHIPPED)
def test_every_pod_passes_the_restricted_level_of_pod_security(topology: str) -> None:
    for name, pod in render(topology).pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"].get("runAsUser") != 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert {source for volume in spec["volumes"] for source in volume if source != "name"} <= RESTRICTED_VOLUMES, name
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


@pytest.mark.parametrize("topology", ALL)
def test_every_container_says_what_it_needs_and_can_write_to_tmp(topology: str) -> None:
    for name, pod in render(topology).pods():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts, name
            assert set(mounts.values()) <= volumes | {"data"}, name


@pytest.mark.parametrize("topology", ALL)
def test_everything_that_runs_has_all_three_probes_a_budget_and_time_to_end(topology: str) -> None:
    release = render(topology)
    budgets = [one["spec"] for one in release.all("PodDisruptionBudget")]
    for kind in RUNNING:
        for workload in release.all(kind):
            name, pod = workload["metadata"]["name"], workload["spec"]["template"]
            for container in pod["spec"]["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name
            assert len([1 for budget in budgets if selects(budget["selector"]["matchLabels"], pod)]) == 1, name
            assert selects(workload["spec"]["selector"]["matchLabels"], pod), name
            graces = [int(environment(one)["JOBPROC_GRACE_SECONDS"]) for one in pod["spec"]["containers"] if "JOBPROC_GRACE_SECONDS" in environment(one)]
            pauses = [one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for one in pod["spec"]["containers"]]
            assert pod["spec"]["terminationGracePeriodSeconds"] >= max([0, *graces]) + max(pauses) + 5, name


@pytest.mark.parametrize("topology", ALL)
def test_no_pod_is_given_links_to_services_or_a_token_it_does_not_need(topology: str) -> None:
    release = render(topology)
    accounts = release.names("ServiceAccount")
    assert all(one["automountServiceAccountToken"] is False for one in release.all("ServiceAccount"))
    for name, pod in release.pods():
        spec = pod["spec"]
        assert spec["enableServiceLinks"] is False, name
        speaks = any(environment(one).get("JOBPROC_POD_DELETION_COST") == "true" for one in spec["containers"])
        assert spec["automountServiceAccountToken"] is speaks, name
        assert spec["serviceAccountName"] in accounts | {"default"}, name
        if spec["serviceAccountName"] == "default":
            assert pod["kind"] == "Pod", name


@pytest.mark.parametrize("topology", ALL)
def test_a_pod_of_the_product_waits_for_the_schema_of_its_version(topology: str) -> None:
    for deployment in render(topology).all("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        (first,) = spec["initContainers"]
        assert first["command"] == ["python", "-m", "common.migrate", "--wait", "300"]
        assert first["image"] == spec["containers"][0]["image"]
        assert environment(first)["DATABASE_URL"] == environment(spec["containers"][0])["DATABASE_URL"]
        assert "REDIS_URL" not in environment(first)


@pytest.mark.parametrize("topology", ALL)
def test_pods_of_a_deployment_spread_unless_the_cluster_cannot(topology: str) -> None:
    for deployment in render(topology).all("Deployment"):
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert selects(spread["labelSelector"]["matchLabels"], deployment["spec"]["template"])


@pytest.mark.parametrize("topology", ALL)
def test_every_service_leads_to_pods_that_have_its_port(topology: str) -> None:
    release = render(topology)
    for service in release.all("Service"):
        pods = [pod for _, pod in release.pods() if selects(service["spec"]["selector"], pod)]
        assert len(pods) == 1, service["metadata"]["name"]
        ports = {port["name"]: port["containerPort"] for one in pods[0]["spec"]["containers"] for port in one["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_the_names_that_others_rely_on() -> None:
    release = render()
    assert release.one("Service", "jobproc-api")["spec"]["ports"][0]["port"] == 8000
    assert release.one("Service", "jobproc-controller")["spec"]["ports"][0]["port"] == 9000
    assert release.names("Deployment") == {"jobproc-api", "jobproc-controller", "jobproc-worker-default"}
    assert release.names("StatefulSet") == {"jobproc-postgresql", "jobproc-redis"}
    other = render("default", release="blue")
    assert other.names("Service") == {"blue-jobproc-api", "blue-jobproc-controller", "blue-postgresql", "blue-redis"}


def test_each_topology_says_what_it_is_for() -> None:
    files = sorted((CHART / "ci").iterdir())
    assert len(files) > 8
    assert all(Path(file).read_text().startswith("# ") for file in files)

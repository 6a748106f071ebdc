"""Pools of workers: their commands, settings and autoscalers."""

import re
from typing import Any

import pytest
from chart.manifests import EXAMPLES, TOPOLOGIES, Release, environment, from_secret, render

pytestmark = pytest.mark.needs("helm")

ALL = [*TOPOLOGIES, *EXAMPLES]
DEPTH_QUERY = "SELECT \"{schema}\".queue_depth('default', 100000)"


def scaled(name: str, topology: str, *sets: str) -> dict[str, Any]:
    """Return the spec of a pool's ScaledObject."""
    spec: dict[str, Any] = render(topology, *sets).get("ScaledObject", f"jobproc-worker-{name}")["spec"]
    return spec


def command(name: str, topology: str = "pools") -> list[str]:
    worker = render(topology).get("Deployment", f"jobproc-worker-{name}")["spec"]["template"]["spec"]["containers"][0]
    return [*worker["command"], *worker["args"]]


@pytest.mark.parametrize("topology", ALL)
def test_a_deployment_sets_its_replicas_only_without_an_autoscaler(topology: str) -> None:
    release = render(topology)
    targets = [
        autoscaler["spec"]["scaleTargetRef"]
        for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        for autoscaler in release.all(kind)
    ]
    assert len({target["name"] for target in targets}) == len(targets), "two autoscalers of one Deployment"
    for deployment in release.all("Deployment"):
        name = deployment["metadata"]["name"]
        is_scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name} in targets
        assert ("replicas" in deployment["spec"]) is not is_scaled, name
    assert {target["name"] for target in targets} <= release.names("Deployment")


def test_each_pool_is_a_deployment_with_its_own_queues_and_processes() -> None:
    assert command("default") == ["python", "-m", "worker", "--queues", "default,mail", "--concurrency", "4"]
    assert command("long") == ["python", "-m", "worker", "--queues", "reports", "--concurrency", "1"]
    release = render("pools")
    assert release.names("Deployment") == {
        "jobproc-api",
        "jobproc-controller",
        *(f"jobproc-worker-{name}" for name in ("default", "long", "models")),
    }
    models = release.get("Deployment", "jobproc-worker-models")["spec"]
    assert models["replicas"] == 3
    assert models["template"]["spec"]["nodeSelector"] == {"accelerator": "gpu"}
    assert release.names("ScaledObject") == {"jobproc-worker-default", "jobproc-worker-long"}


def test_a_pool_takes_its_defaults_from_worker_and_keda() -> None:
    long = render("pools").get("Deployment", "jobproc-worker-long")["spec"]["template"]["spec"]
    assert long["terminationGracePeriodSeconds"] == 610
    assert environment(long["containers"][0])["JOBPROC_SHUTDOWN_GRACE_SECONDS"] == "600"
    assert long["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert scaled("long", "pools")["cooldownPeriod"] == 600
    assert scaled("long", "pools")["pollingInterval"] == scaled("default", "pools")["pollingInterval"] == 10
    other = scaled("long", "pools", "worker.pools.long.minReplicas=0", "worker.minReplicas=2")
    assert other["minReplicaCount"] == 0, "a pool's 0 overrides the default"


def test_a_pool_set_to_null_is_removed() -> None:
    release = render("default", "worker.pools.default=null", "worker.pools.other.queues={default}")
    assert release.names("Deployment") == {"jobproc-api", "jobproc-controller", "jobproc-worker-other"}


def test_keda_reads_the_depth_from_the_controller_of_its_namespace() -> None:
    spec = scaled("default", "keda")
    assert spec["triggers"] == [
        {
            "type": "metrics-api",
            "name": "queue0",
            "metricType": "AverageValue",
            "metadata": {
                "url": "http://jobproc-controller.jobs.svc:9000/metrics",
                "format": "prometheus",
                "valueLocation": 'jobproc_queue_depth{queue="default"}',
                "targetValue": "20",  # 5 jobs for each of 4 processes
                "activationTargetValue": "0",
            },
        }
    ]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 8)
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (5, 30)


def test_keda_scales_a_pool_on_the_sum_of_its_queues() -> None:
    spec = scaled("default", "pools")
    assert [trigger["name"] for trigger in spec["triggers"]] == ["queue0", "queue1"]
    assert [trigger["metadata"]["valueLocation"] for trigger in spec["triggers"]] == [
        f'jobproc_queue_depth{{queue="{queue}"}}' for queue in ("default", "mail")
    ]
    assert spec["advanced"]["scalingModifiers"] == {
        "formula": "queue0 + queue1",
        "target": "40",
        "activationTarget": "0",
        "metricType": "AverageValue",
    }
    assert "scalingModifiers" not in scaled("long", "pools")["advanced"]


def test_an_absent_series_of_prometheus_is_an_error_and_not_zero() -> None:
    (trigger,) = scaled("default", "keda-prometheus")["triggers"]
    assert trigger["metadata"] == {
        "serverAddress": "https://prometheus.monitoring.svc:9090",
        "query": 'max(jobproc_queue_depth{namespace="jobs",queue="default"})',
        "threshold": "20",
        "activationThreshold": "0",
        "ignoreNullValues": "false",
    }
    assert trigger["authenticationRef"] == {"name": "prometheus", "kind": "ClusterTriggerAuthentication"}


@pytest.mark.parametrize(
    ("topology", "plain", "secret"),
    [
        (
            "keda-postgresql",
            {
                "host": "jobproc-postgresql.jobs.svc",
                "port": "5432",
                "userName": "jobproc_metrics",
                "dbName": "jobproc",
                "sslmode": "prefer",
            },
            {"password": ("jobproc-database-roles", "metrics")},
        ),
        ("external", {}, {"connection": ("jobs-app", "uri")}),
        (
            "external-parts",
            {
                "host": "jobs.example.org",
                "port": "6432",
                "userName": "jobproc_metrics",
                "dbName": "jobs",
                "sslmode": "require",
            },
            {"password": ("jobs-roles", "metrics")},
        ),
    ],
)
def test_the_postgresql_trigger_connects_as_the_pods_do(
    topology: str, plain: dict[str, str], secret: dict[str, tuple[str, str]]
) -> None:
    (trigger,) = scaled("default", topology)["triggers"]
    assert trigger["metadata"] == {
        "query": DEPTH_QUERY.format(schema="jobproc"),
        "targetQueryValue": "20",
        "activationTargetQueryValue": "0",
        **plain,
    }
    (authentication,) = render(topology).all("TriggerAuthentication")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    references = authentication["spec"]["secretTargetRef"]
    assert {reference["parameter"]: (reference["name"], reference["key"]) for reference in references} == secret


def test_the_postgresql_trigger_reads_the_schema_of_the_settings() -> None:
    (trigger,) = scaled("default", "keda-postgresql", "settings.JOBPROC_DATABASE_SCHEMA=billing_jobs")["triggers"]
    assert trigger["metadata"]["query"] == DEPTH_QUERY.format(schema="billing_jobs")


@pytest.mark.parametrize(
    "topology", ["keda", "keda-prometheus", "keda-postgresql", "external", "pools", "dev with KEDA", "production"]
)
def test_a_missing_metric_starts_at_least_one_worker_and_stops_none(topology: str) -> None:
    for scaled_object in render(topology).all("ScaledObject"):
        spec = scaled_object["spec"]
        assert spec["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
        target = spec["advanced"].get("scalingModifiers", {}).get("target", "1")
        assert int(target) > 0, "KEDA drops the fallback if the target is not an integer"


@pytest.mark.parametrize("topology", ["keda", "pools", "production", "hpa"])
def test_pools_shrink_by_one_pod_at_a_time(topology: str) -> None:
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for autoscaler in render(topology).all(kind):
            if "worker" in autoscaler["metadata"]["name"]:
                spec = (
                    autoscaler["spec"]
                    if kind == "HorizontalPodAutoscaler"
                    else autoscaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
                )
                down = spec["behavior"]["scaleDown"]
                assert [(policy["type"], policy["value"]) for policy in down["policies"]] == [("Pods", 1)]
                assert down["stabilizationWindowSeconds"] >= 10


def test_a_pool_can_scale_on_cpu_without_keda() -> None:
    release = render("hpa")
    assert release.names("HorizontalPodAutoscaler") == {"jobproc-api", "jobproc-worker-default"}
    worker = release.get("HorizontalPodAutoscaler", "jobproc-worker-default")["spec"]
    assert (worker["minReplicas"], worker["maxReplicas"]) == (1, 6), "an idle pool has no CPU load, so one worker stays"
    assert release.all("ScaledObject") == []


def test_a_pool_without_autoscaler_has_its_configured_size() -> None:
    assert render("default", "worker.replicas=3").get("Deployment", "jobproc-worker-default")["spec"]["replicas"] == 3


def test_the_probes_of_a_worker_run_its_health_check() -> None:
    worker = render().get("Deployment", "jobproc-worker-default")["spec"]["template"]["spec"]["containers"][0]
    assert worker["livenessProbe"]["exec"]["command"] == ["python", "-m", "worker.health"]
    assert (
        worker["startupProbe"]["exec"]["command"]
        == worker["readinessProbe"]["exec"]["command"]
        == ["python", "-m", "worker.health", "--ready"]
    )
    folders = [mount["mountPath"] for mount in worker["volumeMounts"]]
    assert any(environment(worker)["JOBPROC_HEALTH_FILE"].startswith(f"{folder}/") for folder in folders)


def container(release: Release, deployment: str) -> dict[str, Any]:
    """Return the variables of the container of a Deployment."""
    return environment(release.get("Deployment", deployment)["spec"]["template"]["spec"]["containers"][0])


def test_the_controller_alone_may_patch_pods_and_writes_those_of_pools_with_a_deletion_cost() -> None:
    release = render()
    assert release.names("Role") == release.names("RoleBinding") == {"jobproc-controller"}
    assert release.get("Role", "jobproc-controller")["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "patch"]}
    ]
    assert release.get("RoleBinding", "jobproc-controller")["subjects"] == [
        {"kind": "ServiceAccount", "name": "jobproc-controller", "namespace": "jobs"}
    ]
    assert container(release, "jobproc-worker-default")["JOBPROC_POD_NAME"] == {
        "fieldRef": {"fieldPath": "metadata.name"}
    }
    without = render("locked")
    assert without.all("Role") == without.all("RoleBinding") == []
    assert "JOBPROC_POD_DELETION_COST_SELECTOR" not in container(without, "jobproc-controller")


def test_the_selector_of_the_deletion_costs_matches_the_pods_of_those_pools_alone() -> None:
    release = render("pools")
    pools, *labels = container(release, "jobproc-controller")["JOBPROC_POD_DELETION_COST_SELECTOR"].split(",app.")
    chosen = re.fullmatch(r"jobproc/pool in \((.*)\)", pools)
    assert chosen
    wanted = dict(label.split("=") for label in labels)
    matching = set()
    for name, pod in release.pods():
        of_pod = pod["metadata"]["labels"]
        if all(of_pod.get(f"app.{label}") == value for label, value in wanted.items()):
            matching |= {name} if of_pod["jobproc/pool"] in chosen[1].split(",") else set()
    assert matching == {"jobproc-worker-default", "jobproc-worker-models"}, "not those of the pool `long`"


def test_secrets_of_operations_reach_workers_only() -> None:
    release = render("locked")
    for name, pod in release.pods():
        sources = [source for container in pod["spec"]["containers"] for source in container.get("envFrom", [])]
        assert sources == ([{"secretRef": {"name": "jobs-operations"}}] if "-worker-" in name else []), name
    api = environment(release.get("Deployment", "jobproc-api")["spec"]["template"]["spec"]["containers"][0])
    assert api["OTEL_SERVICE_NAME"] == "jobs-api"
    assert api["PGPASSWORD"] == from_secret("jobs-roles", "api")

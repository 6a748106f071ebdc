"""Pools of workers: what they run, and who decides how many."""

from typing import Any

import pytest
from chart.manifests import EXAMPLES, TOPOLOGIES, environment, from_secret, render

ALL = [*TOPOLOGIES, *EXAMPLES]
SUM = "SELECT count(*) FROM (SELECT FROM live WHERE queue = 'default' AND pos <= now() LIMIT 100000) due"


def scaled(name: str, topology: str, *sets: str) -> dict[str, Any]:
    """Return what the ScaledObject of a pool says."""
    spec: dict[str, Any] = render(topology, *sets).one("ScaledObject", f"jobproc-worker-{name}")["spec"]
    return spec


def command(name: str, topology: str = "pools") -> list[str]:
    worker = render(topology).one("Deployment", f"jobproc-worker-{name}")["spec"]["template"]["spec"]["containers"][0]
    return [*worker["command"], *worker["args"]]


@pytest.mark.parametrize("topology", ALL)
def test_a_deployment_says_how_many_pods_only_where_nobody_else_does(topology: str) -> None:
    release = render(topology)
    owned = [one["spec"]["scaleTargetRef"] for kind in ("ScaledObject", "HorizontalPodAutoscaler") for one in release.all(kind)]
    assert len({one["name"] for one in owned}) == len(owned), "two autoscalers of one Deployment"
    for deployment in release.all("Deployment"):
        is_owned = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]} in owned
        assert ("replicas" in deployment["spec"]) is not is_owned, deployment["metadata"]["name"]
    assert {one["name"] for one in owned} <= release.names("Deployment")


def test_each_pool_is_a_deployment_with_its_own_queues_and_processes() -> None:
    assert command("default") == ["python", "-m", "worker", "--queues", "default,mail", "--concurrency", "4"]
    assert command("long") == ["python", "-m", "worker", "--queues", "reports", "--concurrency", "1"]
    release = render("pools")
    assert release.names("Deployment") == {"jobproc-api", "jobproc-controller", *(f"jobproc-worker-{name}" for name in ("default", "long", "models"))}
    models = release.one("Deployment", "jobproc-worker-models")["spec"]
    assert models["replicas"] == 3
    assert models["template"]["spec"]["nodeSelector"] == {"accelerator": "gpu"}
    assert release.names("ScaledObject") == {"jobproc-worker-default", "jobproc-worker-long"}


def test_a_pool_takes_what_it_does_not_say_from_worker_and_from_keda() -> None:
    long = render("pools").one("Deployment", "jobproc-worker-long")["spec"]["template"]["spec"]
    assert long["terminationGracePeriodSeconds"] == 610
    assert environment(long["containers"][0])["JOBPROC_GRACE_SECONDS"] == "600"
    assert long["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert scaled("long", "pools")["cooldownPeriod"] == 600
    assert scaled("long", "pools")["pollingInterval"] == scaled("default", "pools")["pollingInterval"] == 10
    other = scaled("long", "pools", "worker.pools.long.minReplicas=0", "worker.minReplicas=2")
    assert other["minReplicaCount"] == 0, "a zero of the pool counts"


def test_a_pool_set_to_null_is_gone() -> None:
    release = render("default", "worker.pools.default=null", "worker.pools.other.queues={default}")
    assert release.names("Deployment") == {"jobproc-api", "jobproc-controller", "jobproc-worker-other"}


def test_the_depth_is_read_from_the_controller_of_this_namespace() -> None:
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
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["pollingInterval"], spec["cooldownPeriod"]) == (0, 8, 5, 30)


def test_several_queues_are_one_sum_and_not_several_metrics() -> None:
    spec = scaled("default", "pools")
    assert [trigger["name"] for trigger in spec["triggers"]] == ["queue0", "queue1"]
    assert [trigger["metadata"]["valueLocation"] for trigger in spec["triggers"]] == [
        f'jobproc_queue_depth{{queue="{queue}"}}' for queue in ("default", "mail")
    ]
    assert spec["advanced"]["scalingModifiers"] == {"formula": "queue0 + queue1", "target": "40", "activationTarget": "0", "metricType": "AverageValue"}
    assert "scalingModifiers" not in scaled("long", "pools")["advanced"]


def test_prometheus_without_a_series_is_an_error_and_not_zero() -> None:
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
            {"host": "jobproc-postgresql.jobs.svc", "port": "5432", "userName": "jobproc", "dbName": "jobproc", "sslmode": "prefer"},
            {"password": ("jobproc-postgresql", "password")},
        ),
        ("external", {}, {"connection": ("jobs-app", "uri")}),
        (
            "external-parts",
            {"host": "jobs.example.org", "port": "6432", "dbName": "jobs", "sslmode": "require"},
            {"userName": ("jobs-database", "username"), "password": ("jobs-database", "password")},
        ),
    ],
)
def test_postgresql_is_asked_with_what_the_pods_have(topology: str, plain: dict[str, str], secret: dict[str, tuple[str, str]]) -> None:
    (trigger,) = scaled("default", topology)["triggers"]
    assert trigger["metadata"] == {"query": SUM, "targetQueryValue": "20", "activationTargetQueryValue": "0", **plain}
    (authentication,) = render(topology).all("TriggerAuthentication")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert {one["parameter"]: (one["name"], one["key"]) for one in authentication["spec"]["secretTargetRef"]} == secret


@pytest.mark.parametrize("topology", ["keda", "keda-prometheus", "keda-postgresql", "external", "pools", "dev with KEDA", "production"])
def test_a_missing_metric_starts_one_worker_at_least_and_takes_none(topology: str) -> None:
    for one in render(topology).all("ScaledObject"):
        assert one["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
        target = one["spec"]["advanced"].get("scalingModifiers", {}).get("target", "1")
        assert int(target) > 0, "KEDA drops the fallback where the target is no whole number"


@pytest.mark.parametrize("topology", ["keda", "pools", "production", "hpa"])
def test_pools_shrink_by_one_pod_at_a_time(topology: str) -> None:
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for one in render(topology).all(kind):
            if "worker" in one["metadata"]["name"]:
                spec = one["spec"] if kind == "HorizontalPodAutoscaler" else one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
                down = spec["behavior"]["scaleDown"]
                assert [(policy["type"], policy["value"]) for policy in down["policies"]] == [("Pods", 1)]
                assert down["stabilizationWindowSeconds"] >= 10


def test_without_keda_cpu_may_decide() -> None:
    release = render("hpa")
    assert release.names("HorizontalPodAutoscaler") == {"jobproc-api", "jobproc-worker-default"}
    worker = release.one("HorizontalPodAutoscaler", "jobproc-worker-default")["spec"]
    assert (worker["minReplicas"], worker["maxReplicas"]) == (1, 6), "without work CPU says nothing, so one stays"
    assert release.all("ScaledObject") == []


def test_without_any_autoscaler_a_pool_has_the_size_it_says() -> None:
    assert render("default", "worker.replicas=3").one("Deployment", "jobproc-worker-default")["spec"]["replicas"] == 3


def test_probes_of_a_worker_ask_the_worker_itself() -> None:
    worker = render().one("Deployment", "jobproc-worker-default")["spec"]["template"]["spec"]["containers"][0]
    assert worker["livenessProbe"]["exec"]["command"] == ["python", "-m", "worker.health"]
    assert worker["startupProbe"]["exec"]["command"] == worker["readinessProbe"]["exec"]["command"] == ["python", "-m", "worker.health", "--ready"]
    folders = [mount["mountPath"] for mount in worker["volumeMounts"]]
    assert any(environment(worker)["JOBPROC_HEALTH_FILE"].startswith(f"{folder}/") for folder in folders)


def test_the_right_to_patch_pods_is_there_only_while_a_pool_needs_it() -> None:
    release = render()
    assert release.one("Role", "jobproc-worker")["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    assert release.one("RoleBinding", "jobproc-worker")["subjects"] == [{"kind": "ServiceAccount", "name": "jobproc-worker", "namespace": "jobs"}]
    variables = environment(release.one("Deployment", "jobproc-worker-default")["spec"]["template"]["spec"]["containers"][0])
    assert variables["JOBPROC_POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert variables["JOBPROC_POD_NAMESPACE"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    without = render("locked")
    assert without.all("Role") == without.all("RoleBinding") == []
    some = render("pools")
    assert some.names("Role") == {"jobproc-worker"}
    long = environment(some.one("Deployment", "jobproc-worker-long")["spec"]["template"]["spec"]["containers"][0])
    assert not {"JOBPROC_POD_DELETION_COST", "JOBPROC_POD_NAME"} & set(long)


def test_secrets_of_operations_reach_workers_and_nobody_else() -> None:
    release = render("locked")
    for name, pod in release.pods():
        sources = [source for one in pod["spec"]["containers"] for source in one.get("envFrom", [])]
        assert sources == ([{"secretRef": {"name": "jobs-operations"}}] if "-worker-" in name else []), name
    api = environment(release.one("Deployment", "jobproc-api")["spec"]["template"]["spec"]["containers"][0])
    assert api["OTEL_SERVICE_NAME"] == "jobs-api"
    assert api["PGPASSWORD"] == from_secret("jobs-postgresql", "app")

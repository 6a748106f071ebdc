"""The NetworkPolicies: the connections that are allowed if networkPolicy.enabled is set."""

import re
from typing import Any

import pytest
from chart.manifests import Object, Release, render, selects

pytestmark = pytest.mark.needs("helm")

WITH_POLICIES = ["keda-postgresql", "external", "locked", "production"]


def policy(release: Release, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = release.get("NetworkPolicy", f"jobproc-{name}")["spec"]
    return spec


def matches(selector: Object, pod: Object) -> bool:
    """Return True if a podSelector selects a pod."""
    rules = selector.get("matchExpressions", [])
    return selects(selector["matchLabels"], pod) and all(
        pod["metadata"]["labels"].get(rule["key"]) in rule["values"] for rule in rules
    )


def ports(rules: list[Object]) -> set[int | str]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_there_is_no_policy_by_default() -> None:
    assert render().all("NetworkPolicy") == []


@pytest.mark.parametrize("topology", WITH_POLICIES)
def test_exactly_one_policy_selects_each_pod_for_ingress_and_egress(topology: str) -> None:
    release = render(topology)
    policies = release.all("NetworkPolicy")
    for name, pod in release.pods():
        selecting = [candidate for candidate in policies if matches(candidate["spec"]["podSelector"], pod)]
        assert len(selecting) == 1, name
        assert selecting[0]["spec"]["policyTypes"] == ["Ingress", "Egress"], name


@pytest.mark.parametrize(
    ("topology", "database", "redis"),
    [("keda-postgresql", 5432, 6379), ("external", 5432, 6379), ("locked", 5432, 6379)],
)
def test_each_component_may_connect_to_the_ports_that_it_needs_and_to_no_other(
    topology: str, database: int, redis: int
) -> None:
    release = render(topology)
    extra: set[int | str] = {4317} if topology == "locked" else set()
    assert ports(policy(release, "api")["egress"]) == {53, database, redis} | extra
    kubernetes = set() if topology == "locked" else {443, 6443}
    assert ports(policy(release, "controller")["egress"]) == {53, database, redis} | extra | kubernetes
    assert ports(policy(release, "migrate")["egress"]) == {53, database} | extra
    workers = {443} if topology == "locked" else set()
    assert ports(policy(release, "worker")["egress"]) == {53, database, redis, 8000} | workers | extra
    assert policy(release, "migrate")["ingress"] == [], "the migration accepts no connections"
    assert ports(policy(release, "worker")["ingress"]) == {"metrics"}, "a worker accepts scrapes only"


def test_the_bundled_servers_accept_the_release_and_configured_clients() -> None:
    release = render("keda-postgresql")
    pods = dict(release.pods())
    job = release.job()["metadata"]["name"]
    (rule,) = policy(release, "postgresql")["ingress"]
    own, keda = rule["from"]
    assert {name for name, pod in pods.items() if matches(own["podSelector"], pod)} == {
        "jobproc-api",
        "jobproc-worker-default",
        "jobproc-controller",
        job,
    }
    assert keda == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    (rule,) = policy(release, "redis")["ingress"]
    assert {name for name, pod in pods.items() if matches(rule["from"][0]["podSelector"], pod)} == {
        "jobproc-api",
        "jobproc-worker-default",
        "jobproc-controller",
    }
    for name in ("api", "controller", "worker"):
        selectors = [
            rule["to"][0]["podSelector"] for rule in policy(release, name)["egress"] if ports([rule]) & {5432, 6379}
        ]
        assert sorted(target for selector in selectors for target, pod in pods.items() if matches(selector, pod)) == [
            "jobproc-postgresql",
            "jobproc-redis",
        ]
    assert policy(release, "postgresql")["egress"] == policy(release, "redis")["egress"] == []


def test_egress_to_external_services_can_be_restricted() -> None:
    release = render("external")
    egress = {next(iter(ports([rule]))): rule.get("to") for rule in policy(release, "api")["egress"]}
    assert egress[5432] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "jobs"}}}]
    assert egress[6379] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    other = render("external", "externalDatabase.port=6432", "externalRedis.port=6380")
    assert ports(policy(other, "api")["egress"]) == {53, 6432, 6380}
    assert release.names("NetworkPolicy") == {
        f"jobproc-{name}" for name in ("api", "worker", "controller", "migrate", "test")
    }


def test_the_api_and_the_metrics_accept_only_configured_clients() -> None:
    open_to_all = render("keda-postgresql")
    assert policy(open_to_all, "api")["ingress"][0] == {"ports": [{"port": "http", "protocol": "TCP"}]}
    (scraped,) = policy(open_to_all, "worker")["ingress"]
    (names,) = scraped["from"][0]["namespaceSelector"]["matchExpressions"]
    assert names == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["keda", "monitoring"]}
    release = render("locked")
    rule, scraped = policy(release, "api")["ingress"]
    gateways, own = rule["from"]
    assert gateways == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}
    assert matches(own["podSelector"], dict(release.pods())["jobproc-first-job"]), "helm test still reaches the API"
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert scraped == {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": monitoring}
    assert policy(release, "controller")["ingress"] == policy(release, "worker")["ingress"] == [scraped]


def test_operations_may_submit_further_jobs_to_the_api_of_their_release() -> None:
    release = render("locked")
    pods = dict(release.pods())
    worker = next(pod for name, pod in pods.items() if "-worker-" in name)
    url = next(env["value"] for env in worker["spec"]["containers"][0]["env"] if env["name"] == "JOBPROC_API_URL")
    assert re.fullmatch(r"http://jobproc-api\.[a-z-]+:8000", url)
    (rule,) = (rule for rule in policy(release, "worker")["egress"] if ports([rule]) == {8000})
    assert [name for name, pod in pods.items() if matches(rule["to"][0]["podSelector"], pod)] == ["jobproc-api"]
    assert matches(policy(release, "api")["ingress"][0]["from"][1]["podSelector"], worker)


def test_operations_reach_the_configured_targets() -> None:
    assert {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]} in policy(
        render("locked"), "worker"
    )["egress"]
    assert "203.0.113.0/24" not in str(policy(render("locked"), "api")["egress"])


def test_only_the_controller_may_connect_to_the_kubernetes_api_and_only_for_deletion_costs() -> None:
    release = render("keda-postgresql", "worker.podDeletionCost.enabled=false")
    assert not {443, 6443} & ports(policy(release, "controller")["egress"])
    restricted = render("keda-postgresql", "networkPolicy.kubernetesTo[0].ipBlock.cidr=10.96.0.1/32")
    assert {
        "to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}],
        "ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)],
    } in policy(restricted, "controller")["egress"]
    for component in ("api", "worker", "migrate"):
        assert not {443, 6443} & ports(policy(restricted, component)["egress"]), component

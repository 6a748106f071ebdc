"""Who may speak with whom once networkPolicy.enabled is set."""

from typing import Any

import pytest
from chart.manifests import Object, Release, render, selects

WITH = ["keda-postgresql", "external", "locked", "production"]


def policy(release: Release, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = release.one("NetworkPolicy", f"jobproc-{name}")["spec"]
    return spec


def matches(selector: Object, pod: Object) -> bool:
    """Return whether a podSelector takes a pod."""
    rules = selector.get("matchExpressions", [])
    return selects(selector["matchLabels"], pod) and all(pod["metadata"]["labels"].get(rule["key"]) in rule["values"] for rule in rules)


def ports(rules: list[Object]) -> set[int | str]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_without_the_switch_there_is_no_policy() -> None:
    assert render().all("NetworkPolicy") == []


@pytest.mark.parametrize("topology", WITH)
def test_every_pod_is_under_exactly_one_policy_for_both_ways(topology: str) -> None:
    release = render(topology)
    policies = release.all("NetworkPolicy")
    for name, pod in release.pods():
        over = [one for one in policies if matches(one["spec"]["podSelector"], pod)]
        assert len(over) == 1, name
        assert over[0]["spec"]["policyTypes"] == ["Ingress", "Egress"], name


@pytest.mark.parametrize(("topology", "database", "redis"), [("keda-postgresql", 5432, 6379), ("external", 5432, 6379), ("locked", 5432, 6379)])
def test_each_component_may_go_where_it_must_and_nowhere_else(topology: str, database: int, redis: int) -> None:
    release = render(topology)
    extra: set[int | str] = {4317} if topology == "locked" else set()
    for name in ("api", "controller"):
        assert ports(policy(release, name)["egress"]) == {53, database, redis} | extra
    assert ports(policy(release, "migrate")["egress"]) == {53, database} | extra
    workers = {443} if topology == "locked" else {443, 6443}
    assert ports(policy(release, "worker")["egress"]) == {53, database, redis} | workers | extra
    assert policy(release, "migrate")["ingress"] == [], "nobody calls it"
    assert ports(policy(release, "worker")["ingress"]) == {"metrics"}, "only its metrics are read"


def test_the_bundled_servers_take_the_release_and_whom_you_name() -> None:
    release = render("keda-postgresql")
    pods = dict(release.pods())
    job = release.job()["metadata"]["name"]
    (rule,) = policy(release, "postgresql")["ingress"]
    own, keda = rule["from"]
    assert {name for name, pod in pods.items() if matches(own["podSelector"], pod)} == {"jobproc-api", "jobproc-worker-default", "jobproc-controller", job}
    assert keda == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    (rule,) = policy(release, "redis")["ingress"]
    assert {name for name, pod in pods.items() if matches(rule["from"][0]["podSelector"], pod)} == {
        "jobproc-api",
        "jobproc-worker-default",
        "jobproc-controller",
    }
    for name in ("api", "controller", "worker"):
        towards = [rule["to"][0]["podSelector"] for rule in policy(release, name)["egress"] if ports([rule]) & {5432, 6379}]
        assert sorted(one for selector in towards for one, pod in pods.items() if matches(selector, pod)) == ["jobproc-postgresql", "jobproc-redis"]
    assert policy(release, "postgresql")["egress"] == policy(release, "redis")["egress"] == []


def test_external_services_may_be_narrowed_down() -> None:
    release = render("external")
    egress = {next(iter(ports([rule]))): rule.get("to") for rule in policy(release, "api")["egress"]}
    assert egress[5432] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "jobs"}}}]
    assert egress[6379] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    other = render("external", "externalDatabase.port=6432", "externalRedis.port=6380")
    assert ports(policy(other, "api")["egress"]) == {53, 6432, 6380}
    assert release.names("NetworkPolicy") == {f"jobproc-{name}" for name in ("api", "worker", "controller", "migrate", "test")}


def test_the_api_and_the_metrics_are_for_whom_you_name() -> None:
    open_to_all = render("keda-postgresql")
    assert policy(open_to_all, "api")["ingress"][0] == {"ports": [{"port": "http", "protocol": "TCP"}]}
    release = render("locked")
    rule, scraped = policy(release, "api")["ingress"]
    gateways, own = rule["from"]
    assert gateways == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}
    assert matches(own["podSelector"], dict(release.pods())["jobproc-first-job"]), "helm test still gets in"
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert scraped == {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": monitoring}
    assert policy(release, "controller")["ingress"] == policy(release, "worker")["ingress"] == [scraped]


def test_operations_reach_what_they_are_given() -> None:
    assert {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]} in policy(render("locked"), "worker")["egress"]
    assert "203.0.113.0/24" not in str(policy(render("locked"), "api")["egress"])


def test_a_worker_reaches_the_cluster_only_for_its_deletion_cost() -> None:
    release = render("keda-postgresql", "worker.podDeletionCost.enabled=false")
    assert not {443, 6443} & ports(policy(release, "worker")["egress"])
    narrow = render("keda-postgresql", "networkPolicy.kubernetesTo[0].ipBlock.cidr=10.96.0.1/32")
    assert {"to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}], "ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]} in policy(narrow, "worker")[
        "egress"
    ]

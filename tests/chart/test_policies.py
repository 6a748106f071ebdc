"""The NetworkPolicies: the connections that are allowed by default, and those that values allow or restrict."""

import ipaddress
import re
from typing import Any

import pytest
from chart.manifests import EXAMPLES, TOPOLOGIES, Object, Release, render, selects

pytestmark = pytest.mark.needs("helm")

DNS = {53, 5353}
KUBERNETES = {443, 6443, 8443, 16443}
KEDA_NAMESPACE = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
KEDA_PODS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "keda-operator"}}}
COLLECTOR = "{0}.extraEnv[0].name=OTEL_EXPORTER_OTLP_ENDPOINT,{0}.extraEnv[0].value={1}"


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
    """Return the ports of rules; a rule for all ports counts as `all`."""
    return {port["port"] for rule in rules for port in rule.get("ports", [{"port": "all"}])}


def peers(release: Release, name: str, port: int | str, direction: str = "to") -> Any:
    """Return the peers of the one rule for a port; None: all."""
    rules = policy(release, name)["egress" if direction == "to" else "ingress"]
    (rule,) = [rule for rule in rules if port in ports([rule])]
    return rule.get(direction)


def test_the_policies_can_be_left_out() -> None:
    assert len(render().all("NetworkPolicy")) == 7
    assert render("default", "networkPolicy.enabled=false").all("NetworkPolicy") == []


@pytest.mark.parametrize("topology", [*TOPOLOGIES, *EXAMPLES])
def test_exactly_one_policy_selects_each_pod_for_ingress_and_egress(topology: str) -> None:
    release = render(topology)
    policies = release.all("NetworkPolicy")
    for name, pod in release.pods():
        selecting = [candidate for candidate in policies if matches(candidate["spec"]["podSelector"], pod)]
        assert len(selecting) == 1, name
        assert selecting[0]["spec"]["policyTypes"] == ["Ingress", "Egress"], name


@pytest.mark.parametrize("topology", ["default", "keda-postgresql", "external", "locked"])
def test_each_component_may_connect_to_the_ports_that_it_needs_and_to_no_other(topology: str) -> None:
    release = render(topology)
    extra: set[int | str] = {3128} if topology == "locked" else set()
    servers = {*DNS, 5432, 6379} | extra
    collector = {4317} if topology == "locked" else set()
    kubernetes = set() if topology == "locked" else KUBERNETES
    workers: set[int | str] = {443} if topology == "locked" else {"all"}
    assert ports(policy(release, "api")["egress"]) == servers | collector
    assert ports(policy(release, "controller")["egress"]) == servers | kubernetes
    assert ports(policy(release, "migrate")["egress"]) == servers - {6379}
    assert ports(policy(release, "worker")["egress"]) == servers | {8000} | workers
    assert ports(policy(release, "test")["egress"]) == {*DNS, 8000}
    assert policy(release, "migrate")["ingress"] == policy(release, "test")["ingress"] == []
    assert ports(policy(release, "worker")["ingress"]) == {"metrics"}, "a worker accepts scrapes only"
    assert ports(policy(release, "controller")["ingress"]) == {"metrics"}


def test_the_bundled_servers_accept_the_release_alone_and_connect_to_nothing() -> None:
    release = render()
    pods = dict(release.pods())
    parts = {"jobproc-api", "jobproc-worker-default", "jobproc-controller"}
    for server, clients in {"postgresql": parts | {release.job()["metadata"]["name"]}, "redis": parts}.items():
        (peer,) = peers(release, server, server, "from")
        assert {name for name, pod in pods.items() if matches(peer["podSelector"], pod)} == clients
        assert peer.keys() == {"podSelector"}, "those of its own namespace"
        assert policy(release, server)["egress"] == []
    for name in ("api", "controller", "worker"):
        selectors = [peers(release, name, port)[0]["podSelector"] for port in (5432, 6379)]
        assert [target for selector in selectors for target, pod in pods.items() if matches(selector, pod)] == [
            "jobproc-postgresql",
            "jobproc-redis",
        ]


def test_the_bundled_postgresql_accepts_configured_clients_too() -> None:
    exporter = {"podSelector": {"matchLabels": {"app": "postgres-exporter"}}}
    assert peers(render("locked"), "postgresql", "postgresql", "from")[1:] == [exporter]


@pytest.mark.parametrize(("sets", "keda"), [((), KEDA_NAMESPACE), (("networkPolicy.kedaFrom=null",), None)])
def test_keda_reaches_the_bundled_postgresql_if_a_trigger_reads_it(sets: tuple[str, ...], keda: Object | None) -> None:
    release = render("keda-postgresql", *sets)
    assert peers(release, "postgresql", "postgresql", "from")[1:] == ([keda] if keda else [])
    assert KEDA_NAMESPACE not in peers(release, "controller", "metrics", "from")


def test_keda_reaches_the_controller_if_a_trigger_reads_it_beside_other_readers() -> None:
    monitoring = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring"
    release = render("keda", monitoring)
    own = {"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}
    assert peers(release, "controller", "metrics", "from") == [own, KEDA_PODS]
    assert peers(release, "worker", "metrics", "from") == peers(release, "api", "metrics", "from") == [own]
    assert len(peers(release, "postgresql", "postgresql", "from")) == 1, "this trigger does not read it"
    one_pool = render("default", "worker.pools.default.keda.enabled=true", monitoring)
    assert peers(one_pool, "controller", "metrics", "from") == [own, KEDA_PODS]
    assert peers(render("default", monitoring), "controller", "metrics", "from") == [own], "nothing is scaled by KEDA"


def test_egress_to_external_services_can_be_restricted() -> None:
    release = render("external")
    assert peers(release, "api", 5432) == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "jobs"}}}]
    assert peers(release, "api", 6379) == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    other = render("external", "externalDatabase.port=6432", "externalRedis.port=6380")
    assert ports(policy(other, "api")["egress"]) == {*DNS, 6432, 6380}
    open_to_all = render("external-parts")
    assert peers(open_to_all, "api", 6432) is peers(open_to_all, "migrate", 6432) is None
    assert release.names("NetworkPolicy") == {
        f"jobproc-{name}" for name in ("api", "worker", "controller", "migrate", "test")
    }


def test_the_api_accepts_all_clients_and_the_metrics_all_pods_unless_values_restrict_them() -> None:
    open_to_all = render()
    assert policy(open_to_all, "api")["ingress"][0] == {"ports": [{"port": "http", "protocol": "TCP"}]}
    for name in ("api", "worker", "controller"):
        assert peers(open_to_all, name, "metrics", "from") == [{"namespaceSelector": {}}]
    assert peers(render("default", "networkPolicy.metricsFrom=null"), "worker", "metrics", "from") is None
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
    (peer,) = peers(release, "worker", 8000)
    assert [name for name, pod in pods.items() if matches(peer["podSelector"], pod)] == ["jobproc-api"]
    assert matches(policy(release, "api")["ingress"][0]["from"][1]["podSelector"], worker)


@pytest.mark.parametrize(
    ("address", "is_reached"),
    [
        ("203.0.113.7", True),
        ("10.0.0.5", True),
        ("2001:db8::1", True),
        ("169.254.169.254", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
    ],
)
def test_operations_reach_everything_but_link_local_addresses(address: str, is_reached: bool) -> None:
    pods, *blocks = peers(render(), "worker", "all")
    assert pods == {"namespaceSelector": {}}, "networks differ in whether an ipBlock covers pods"

    def covers(block: Object) -> bool:
        host = ipaddress.ip_address(address)
        return host in ipaddress.ip_network(block["cidr"]) and not any(
            host in ipaddress.ip_network(network) for network in block["except"]
        )

    assert any(covers(block["ipBlock"]) for block in blocks) is is_reached


def test_operations_reach_nothing_or_the_configured_targets_if_values_say_so() -> None:
    allowed = {"ports": [{"port": 443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}
    assert allowed in policy(render("locked"), "worker")["egress"]
    assert "203.0.113.0/24" not in str(policy(render("locked"), "api")["egress"])
    closed = render("default", "networkPolicy.workerEgress=null")
    assert ports(policy(closed, "worker")["egress"]) == {*DNS, 5432, 6379, 8000}


def test_only_the_controller_may_connect_to_the_kubernetes_api_and_only_for_deletion_costs() -> None:
    release = render("default", "worker.podDeletionCost.enabled=false")
    assert ports(policy(release, "controller")["egress"]) == {*DNS, 5432, 6379}
    restricted = render(
        "default", "networkPolicy.kubernetesTo[0].ipBlock.cidr=10.96.0.1/32", "networkPolicy.kubernetesPorts={6443}"
    )
    assert peers(restricted, "controller", 6443) == [{"ipBlock": {"cidr": "10.96.0.1/32"}}]
    for component in ("api", "worker", "migrate"):
        assert not KUBERNETES & ports(policy(restricted, component)["egress"]), component


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://$(HOST_IP):4318", 4318), ("https://collector.example/otlp", 443), ("http://collector", 80)],
)
def test_the_pods_that_name_a_trace_collector_reach_it(endpoint: str, port: int) -> None:
    release = render("default", COLLECTOR.format("controller", endpoint), "worker.podDeletionCost.enabled=false")
    assert peers(release, "controller", port) is None
    assert port not in ports(policy(release, "api")["egress"])


def test_a_trace_collector_of_one_pool_is_reached_by_the_workers() -> None:
    pool = COLLECTOR.format("worker.pools.default", "http://collector:4317")
    release = render("default", pool, "networkPolicy.collectorTo[0].ipBlock.cidr=10.1.0.0/16")
    assert peers(release, "worker", 4317) == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://id.example/realms/a", {443, 8443}),
        ("https://id.example:8444", {8444}),
        ("http://[::1]:80", {80}),
    ],
)
def test_the_api_alone_reaches_the_openid_provider(issuer: str, expected: set[int]) -> None:
    release = render("oidc", f"oidc.issuer={issuer}")
    to_provider = {
        name: ports([rule])
        for name in ("api", "worker", "controller", "migrate")
        for rule in policy(release, name)["egress"]
        if rule.get("to") == [{"ipBlock": {"cidr": "203.0.113.7/32"}}]
    }
    assert to_provider == {"api": expected}


def test_the_api_reaches_keys_at_another_port_than_their_provider() -> None:
    release = render("oidc", "settings.JOBPROC_OIDC_JWKS_URL=https://keys.example:9443/jwks")
    assert {8443, 9443} < ports(policy(release, "api")["egress"])

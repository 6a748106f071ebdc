"""A Prometheus scrapes a release with failures and a killed worker: every panel has data and the counts are correct."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from chart.promql import FOREIGN, metrics
from e2e.cluster import Api, Namespace, forward, until
from e2e.openid import openid_provider, values
from kubernetes import client
from rig.keys import bearer
from rig.sign_in import person_tokens
from rig.system import Database
from rig.tls import Authority

from k8s.dashboards import FILES
from worker.controller.rescue import FULL_SCAN_INTERVAL_S

VARIABLES = {"$__rate_interval": "1m", "$queue": ".*", "$operation": ".*"}
DELIVERIES = '"jobproc.webhook"'
PANELS = [panel for make in FILES.values() for panel in json.loads(make())["panels"] if panel["type"] != "row"]


class Prometheus:
    """The Prometheus that the cluster's operator runs."""

    def __init__(self, url: str, namespace: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._namespace = namespace

    def close(self) -> None:
        self._http.close()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series of an expression, with its dashboard variables replaced."""
        for variable, value in {**VARIABLES, "$namespace": self._namespace}.items():
            expr = expr.replace(variable, value)
        response = self._http.get("/api/v1/query", params={"query": expr}).json()
        assert response["status"] == "success", response
        return list(response["data"]["result"])

    def number(self, expr: str) -> float | None:
        """Return the value of an expression's first series, None without a series."""
        series = self.query(expr)
        return float(series[0]["value"][1]) if series else None

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of this namespace's release that Prometheus has loaded."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups if self._namespace in group["file"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def prometheus(cluster: None, namespace: Namespace) -> Any:
    core: Any
    core = client.CoreV1Api()
    services = core.list_service_for_all_namespaces(field_selector="metadata.name=prometheus-operated").items
    if not services:
        pytest.skip("there is no Prometheus operator in this cluster")
    process, port = forward(services[0].metadata.namespace, "service/prometheus-operated", 9090)
    prometheus = Prometheus(f"http://127.0.0.1:{port}", namespace.name)
    yield prometheus
    prometheus.close()
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def keda_scraped(keda: None, prometheus: Prometheus, namespace: Namespace) -> None:
    """Make the same Prometheus scrape KEDA's metrics."""
    endpoint = {"portNumber": 8080, "interval": "3s"}
    spec = {
        "namespaceSelector": {"any": True},
        "selector": {"matchLabels": {"app": "keda-operator"}},
        "podMetricsEndpoints": [endpoint],
    }
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "keda"},
        "spec": spec,
    }
    namespace.kubectl("apply", "-f", "-", stdin=json.dumps(monitor))


@pytest.fixture(scope="module")
def sign_in(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], str]]:
    """Run an OpenID provider. Return the values of a release that accepts its tokens, and a token."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with openid_provider(namespace, authority) as provider:
        yield values(namespace, authority, provider), person_tokens(provider, "openid jobs:read")["access_token"]


@pytest.fixture(scope="module")
def database(
    prometheus: Prometheus, namespace: Namespace, keda_scraped: None, sign_in: tuple[list[str], str]
) -> Database:
    """Run jobs of every kind in a release, and kill a worker, until all counts are scraped. Return its database."""
    switches = [f"metrics.{name}.enabled=true" for name in ("podMonitor", "prometheusRule", "dashboards")]
    small = (
        "controller.replicas=1",
        "worker.drainSeconds=5",
        "postgresql.persistence.enabled=false",
        "metrics.podMonitor.interval=3s",
    )
    quick = ("settings.JOBPROC_LEASE_SECONDS=6", "settings.JOBPROC_HEARTBEAT_SECONDS=1")
    scaled = ("keda.enabled=true", "keda.pollingInterval=2", "worker.minReplicas=1", "worker.maxReplicas=1")
    trusted, token = sign_in
    namespace.install(*namespace.operations(), *switches, *small, *quick, *scaled, *trusted)
    until(
        "all processes are scraped",
        lambda: len(prometheus.query('count by (pod) (up{namespace="$namespace",pod=~"jobproc-.*"} == 1)')) == 4,
        120,
    )
    api, database = namespace.api(), namespace.database()
    api.http.get("/jobs/", headers=bearer(token)).raise_for_status()
    with namespace.load("observed", rate=30) as report:
        submit_all_kinds(api)
    report.shows_no_loss()
    wait_for_scrape(prometheus, database)
    (worker,) = namespace.ready("worker")
    namespace.kubectl("delete", "pod", worker, "--force", "--grace-period=0")
    submit_all_kinds(api)
    until("all jobs have finished", lambda: not database.value("SELECT count(*) FROM live"), 120)
    wait_for_scrape(prometheus, database)
    return database


def submit_all_kinds(api: Api) -> None:
    """Submit jobs that succeed, fail, crash and are reprioritised."""
    for operation, inputs in {
        "noop": [[1.0]] * 200,
        "fail_times": [[1.0]] * 20,
        "fail_for_good": [[0.0]] * 10,
        "die_times": [[1.0]] * 2,
    }.items():
        api.submit_many(operation, inputs)
    reprioritise(api)


def reprioritise(api: Api) -> None:
    """Submit a scheduled job, and change its priority by a bulk action."""
    api.http.post("/jobs/", json={"data": [1.0], "operation": "noop", "delay_seconds": 10}).raise_for_status()
    body = {"action": "reprioritise", "filter": {"status": ["SCHEDULED"]}, "priority": 1}
    links = api.http.post("/bulk-actions", json=body).raise_for_status().json()["links"]
    api.http.post(links["start"]).raise_for_status()
    until("the job is reprioritised", lambda: api.http.get(links["self"]).json()["done"] == 1)


def wait_for_scrape(prometheus: Prometheus, database: Database) -> None:
    """Wait until the attempts that Prometheus has counted are the outcomes in the database."""
    outcomes = database.value("SELECT count(*) FROM outcomes")
    until(f"{outcomes} outcomes are counted", lambda: attempts(prometheus, "success|failed") == outcomes, 60)


def attempts(prometheus: Prometheus, outcome: str) -> float | None:
    """Return the number of attempts with an outcome, those of the killed worker included."""
    return prometheus.number(
        f'sum(max_over_time(jobproc_attempts_total{{namespace="$namespace",outcome=~"{outcome}"}}[15m]))'
    )


def test_the_counts_of_prometheus_are_those_of_the_database(database: Database, prometheus: Prometheus) -> None:
    stored = dict(database.rows("SELECT status, count(*) FROM outcomes GROUP BY 1"))
    assert attempts(prometheus, "success") == stored["SUCCESS"]
    assert attempts(prometheus, "failed") == stored["FAILED"] == 20
    accepted = prometheus.number('sum(jobproc_jobs_accepted_total{namespace="$namespace"})')
    assert accepted == database.value("SELECT count(*) FROM jobs")
    depth, alive = (
        f'max(jobproc_{name}{{namespace="$namespace",queue="default"}})' for name in ("queue_depth", "workers_alive")
    )
    until("the last scrape has a depth of 0", lambda: prometheus.number(depth) == 0, 30)
    until("two processes are alive", lambda: prometheus.number(alive) == 2, 30)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_data(database: Database, prometheus: Prometheus, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if DELIVERIES in target["expr"]:
            prometheus.query(target["expr"])  # it is valid; webhooks are off in this release, so nothing is delivered
            continue
        foreign = {name for name, _ in metrics(target["expr"]) if name in FOREIGN}
        series = prometheus.query(target["expr"])
        if not series and not foreign:  # some metrics are set only by the controller's full scan
            series = until(
                f"{panel['title']} has data", partial(prometheus.query, target["expr"]), FULL_SCAN_INTERVAL_S * 2
            )
        if foreign and not any(prometheus.query(name) for name in foreign):
            continue  # kube-state-metrics or postgres_exporter may be missing, and KEDA may have had no errors
        assert series, target["expr"]
        assert all(re.fullmatch(r"-?[\d.e+-]+|NaN", row["value"][1]) for row in series), series


def test_keda_and_the_controller_report_the_same_depth(
    database: Database, prometheus: Prometheus, namespace: Namespace
) -> None:
    api = namespace.api()
    api.submit_many("sleep", [[3.0]] * 12)
    keda, controller = (
        f'max({metric}{{{label}="$namespace"}})'
        for metric, label in (("keda_scaler_metrics_value", "exported_namespace"), ("jobproc_queue_depth", "namespace"))
    )
    until("both report a depth", lambda: prometheus.number(keda) == prometheus.number(controller) != 0, 60)
    until("all jobs have finished", lambda: not database.value("SELECT count(*) FROM live"), 120)
    until("both report 0", lambda: prometheus.number(keda) == prometheus.number(controller) == 0, 60)


def test_prometheus_loads_and_evaluates_every_rule(database: Database, prometheus: Prometheus) -> None:
    until(
        "the rules are evaluated",
        lambda: (rules := prometheus.rules()) and all(rule["health"] == "ok" for rule in rules),
        120,
    )
    rules = prometheus.rules()
    assert len({rule["name"] for rule in rules}) >= 11
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert not firing & {"JobprocDepthUnknown", "JobprocNoLeader", "JobprocApiAbsent", "JobprocJobsWithoutWorkers"}, (
        firing
    )


def test_the_dashboards_are_in_config_maps_with_the_label_of_grafanas_sidecar(
    database: Database, namespace: Namespace
) -> None:
    config_maps = namespace.core.list_namespaced_config_map(namespace.name, label_selector="grafana_dashboard=1").items
    titles = {json.loads(text)["title"] for config_map in config_maps for text in config_map.data.values()}
    assert titles == {json.loads(make())["title"] for make in FILES.values()}

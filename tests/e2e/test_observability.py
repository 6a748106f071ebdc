"""A real Prometheus scrapes a real run, with failures and a killed worker: every query of every dashboard and rule has data, of the right size."""

import json
import re
from functools import partial
from typing import Any

import httpx
import pytest
from chart.promql import FOREIGN, metrics
from e2e.cluster import Api, Namespace, forward, until
from kubernetes import client
from rig.system import Database

from k8s.dashboards import FILES
from worker.controller.rescue import FULL_SCAN_INTERVAL_S

VARIABLES = {"$__rate_interval": "1m", "$queue": ".*", "$operation": ".*"}
PANELS = [panel for make in FILES.values() for panel in json.loads(make())["panels"] if panel["type"] != "row"]


class Prometheus:
    """The server that the cluster's operator runs."""

    def __init__(self, url: str, namespace: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._namespace = namespace

    def close(self) -> None:
        self._http.close()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series of an expression, its variables filled in."""
        for variable, value in {**VARIABLES, "$namespace": self._namespace}.items():
            expr = expr.replace(variable, value)
        answer = self._http.get("/api/v1/query", params={"query": expr}).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def number(self, expr: str) -> float | None:
        """Return the one value of an expression; None when there is none."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of this namespace's release that Prometheus has taken up."""
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
    made = Prometheus(f"http://127.0.0.1:{port}", namespace.name)
    yield made
    made.close()
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def keda_scraped(keda: None, prometheus: Prometheus, namespace: Namespace) -> None:
    """KEDA's own metrics, taken by the same Prometheus."""
    endpoint = {"portNumber": 8080, "interval": "3s"}
    spec = {"namespaceSelector": {"any": True}, "selector": {"matchLabels": {"app": "keda-operator"}}, "podMetricsEndpoints": [endpoint]}
    monitor = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "keda"}, "spec": spec}
    namespace.kubectl("apply", "-f", "-", given=json.dumps(monitor))


@pytest.fixture(scope="module")
def ran(prometheus: Prometheus, namespace: Namespace, keda_scraped: None) -> Database:
    """A release that has run jobs of every kind and lost a worker; everything that it counted has been scraped."""
    switches = [f"metrics.{name}.enabled=true" for name in ("podMonitor", "prometheusRule", "dashboards")]
    small = ("controller.replicas=1", "worker.drainSeconds=5", "postgresql.persistence.enabled=false", "metrics.podMonitor.interval=3s")
    quick = ("settings.JOBPROC_LEASE_SECONDS=6", "settings.JOBPROC_HEARTBEAT_SECONDS=1")
    scaled = ("keda.enabled=true", "keda.pollingInterval=2", "worker.minReplicas=1", "worker.maxReplicas=1")
    namespace.install(*namespace.operations(), *switches, *small, *quick, *scaled)
    until("all processes are scraped", lambda: len(prometheus.query('count by (pod) (up{namespace="$namespace",pod=~"jobproc-.*"} == 1)')) == 4, 120)
    api, database = namespace.api(), namespace.database()
    with namespace.load("observed", rate=30) as report:
        jobs(api)
    report.shows_no_loss()
    settled(prometheus, database)
    (worker,) = namespace.ready("worker")
    namespace.kubectl("delete", "pod", worker, "--force", "--grace-period=0")
    jobs(api)
    until("the jobs are done", lambda: not database.one("SELECT count(*) FROM live"), 120)
    settled(prometheus, database)
    return database


def jobs(api: Api) -> None:
    """Submit some of every kind."""
    for operation, inputs in {"noop": [[1.0]] * 200, "fail_times": [[1.0]] * 20, "fail_for_good": [[0.0]] * 10, "die_times": [[1.0]] * 2}.items():
        api.submit_many(operation, inputs)
    reprioritised(api)


def reprioritised(api: Api) -> None:
    """Submit a job that comes later, and give it another priority by an action."""
    api.http.post("/jobs/", json={"data": [1.0], "operation": "noop", "delay": 10}).raise_for_status()
    made = api.http.post("/actions", json={"action": "reprioritise", "filter": {"status": ["SCHEDULED"]}, "priority": 1}).raise_for_status().json()
    api.http.post(made["links"]["start"]).raise_for_status()
    until("it has another priority", lambda: api.http.get(made["links"]["self"]).json()["done"] == 1)


def settled(prometheus: Prometheus, database: Database) -> None:
    """Wait until what Prometheus has counted is what the database holds."""
    outcomes = database.one("SELECT count(*) FROM outcomes")
    until(f"{outcomes} endings are counted", lambda: ended(prometheus, "success|failed") == outcomes, 60)


def ended(prometheus: Prometheus, outcome: str) -> float | None:
    """Return how many attempts ended so, those of a worker that is gone with them."""
    return prometheus.number(f'sum(max_over_time(jobproc_attempts_total{{namespace="$namespace",outcome=~"{outcome}"}}[15m]))')


def test_what_is_counted_is_what_the_database_holds(ran: Database, prometheus: Prometheus) -> None:
    stored = dict(ran.rows("SELECT status, count(*) FROM outcomes GROUP BY 1"))
    assert ended(prometheus, "success") == stored["SUCCESS"]
    assert ended(prometheus, "failed") == stored["FAILED"] == 20
    assert prometheus.number('sum(jobproc_jobs_accepted_total{namespace="$namespace"})') == ran.one("SELECT count(*) FROM jobs")
    depth, alive = (f'max(jobproc_{name}{{namespace="$namespace",queue="default"}})' for name in ("queue_depth", "workers_alive"))
    until("nothing waits, as the last scrape saw it", lambda: prometheus.number(depth) == 0, 30)
    until("two processes are alive", lambda: prometheus.number(alive) == 2, 30)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_data(ran: Database, prometheus: Prometheus, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        foreign = {name for name, _ in metrics(target["expr"]) if name in FOREIGN}
        found = prometheus.query(target["expr"])
        if not found and not foreign:  # some are told with the controller's full look
            found = until(f"{panel['title']} has data", partial(prometheus.query, target["expr"]), FULL_SCAN_INTERVAL_S * 2)
        if foreign and not any(prometheus.query(name) for name in foreign):
            continue  # of kube-state-metrics or postgres_exporter, which need not be here, or of errors that KEDA did not have
        assert found, target["expr"]
        assert all(re.fullmatch(r"-?[\d.e+-]+|NaN", one["value"][1]) for one in found), found


def test_what_keda_sees_is_the_depth_that_the_controller_tells(ran: Database, prometheus: Prometheus, namespace: Namespace) -> None:
    api = namespace.api()
    api.submit_many("sleep", [[3.0]] * 12)
    seen, told = (
        f'max({metric}{{{label}="$namespace"}})'
        for metric, label in (("keda_scaler_metrics_value", "exported_namespace"), ("jobproc_queue_depth", "namespace"))
    )
    until("both say so", lambda: prometheus.number(seen) == prometheus.number(told) != 0, 60)
    until("the jobs are done", lambda: not ran.one("SELECT count(*) FROM live"), 120)
    until("and that nothing is left", lambda: prometheus.number(seen) == prometheus.number(told) == 0, 60)


def test_every_rule_is_taken_up_and_can_be_evaluated(ran: Database, prometheus: Prometheus) -> None:
    until("the rules are evaluated", lambda: (found := prometheus.rules()) and all(rule["health"] == "ok" for rule in found), 120)
    rules = prometheus.rules()
    assert len({rule["name"] for rule in rules}) >= 11
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert not firing & {"JobprocDepthUnknown", "JobprocNobodyLeads", "JobprocApiAbsent", "JobprocJobsWithoutWorkers"}, firing


def test_the_dashboards_are_where_grafanas_sidecar_looks(ran: Database, namespace: Namespace) -> None:
    found = namespace.core.list_namespaced_config_map(namespace.name, label_selector="grafana_dashboard=1").items
    titles = {json.loads(text)["title"] for one in found for text in one.data.values()}
    assert titles == {json.loads(make())["title"] for make in FILES.values()}

"""jobproc with its NetworkPolicies: necessary connections work, all others fail if the network enforces them."""

import pytest
from e2e.cluster import IMAGES, TAG, Namespace, until

CONNECT = """import socket, sys
for target in sys.argv[1:]:
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 3).close()
        print(target, "open")
    except OSError as error:
        print(target, "closed", error)
print("done")
"""
SERVERS = ("jobproc-postgresql:5432", "jobproc-redis:6379")
METRICS = 9000
LISTENER = 8080  # a port of a pod outside of jobproc


@pytest.fixture(scope="module")
def installed(keda: None, namespace: Namespace) -> Namespace:
    namespace.install(
        "api.replicas=1",
        "controller.replicas=1",
        "worker.minReplicas=1",
        "postgresql.persistence.enabled=false",
        "keda.pollingInterval=2",
        "keda.enabled=true",
    )
    namespace.until_ready("worker", 1)
    image = f"{IMAGES['api']}:{TAG}"
    namespace.pod("listener", image, ["python", "-m", "http.server", str(LISTENER)])
    until("the listener has an address", lambda: address(namespace, "listener"))
    namespace.pod("stranger", image, ["python", "-c", "import time; time.sleep(1800)"])
    until("the stranger runs", lambda: namespace.ready_pod("stranger"), 60)
    until("the listener runs", lambda: namespace.ready_pod("listener"), 60)
    return namespace


@pytest.fixture(scope="module")
def enforced(installed: Namespace) -> None:
    """Skip the test if policies have no effect here."""
    if all(reachable(installed, "stranger", *SERVERS).values()):
        pytest.skip("the network of this cluster does not enforce NetworkPolicies")


def address(namespace: Namespace, pod: str) -> str | None:
    """Return the address of a pod; None: it has none yet."""
    found = namespace.core.read_namespaced_pod(pod, namespace.name).status.pod_ip
    return str(found) if found else None


def reachable(namespace: Namespace, pod: str, *targets: str) -> dict[str, bool]:
    """Return for each target whether a pod can connect to it."""
    lines = namespace.kubectl("exec", pod, "--", "python", "-c", CONNECT, *targets).splitlines()
    return {line.split()[0]: line.split()[1] == "open" for line in lines if ":" in line.split()[0]}


def test_a_job_runs_from_the_service_to_its_result(installed: Namespace) -> None:
    api = installed.api()
    assert api.until_status(api.submit("square_sum", 1, 2, 3), "SUCCESS", 120)["result"] == 14.0
    assert "Succeeded" in installed.helm("test", "jobproc")


def test_another_pod_reaches_the_api_and_metrics_alone(installed: Namespace, enforced: None) -> None:
    workers = f"{address(installed, installed.ready('worker')[0])}:{METRICS}"
    open_to_all = ("jobproc-api:8000", f"jobproc-controller:{METRICS}", workers)
    assert reachable(installed, "stranger", *open_to_all, *SERVERS) == {
        **dict.fromkeys(open_to_all, True),
        **dict.fromkeys(SERVERS, False),
    }


@pytest.mark.parametrize(("component", "reaches_others"), [("api", False), ("controller", False), ("worker", True)])
def test_pods_reach_what_they_need_and_no_more(
    installed: Namespace,
    enforced: None,
    component: str,
    reaches_others: bool,
) -> None:
    other = f"{address(installed, 'listener')}:{LISTENER}"
    (pod,) = installed.ready(component)
    assert reachable(installed, pod, *SERVERS, other) == {**dict.fromkeys(SERVERS, True), other: reaches_others}


def test_the_bundled_servers_connect_to_nothing(installed: Namespace, enforced: None) -> None:
    connect = f"exec 3<>/dev/tcp/{address(installed, 'listener')}/{LISTENER} && echo open"
    for server in ("postgresql", "redis"):
        tried = installed.kubectl(
            "exec", f"jobproc-{server}-0", "--", "timeout", "3", "bash", "-c", connect, check=False
        )
        assert "open" not in tried, server


def test_keda_scales_by_the_controller_and_by_the_database(installed: Namespace) -> None:
    """Each trigger reads the depth, so that its scaler is active while a job waits or runs."""
    api = installed.api()
    for trigger in ("metrics-api", "postgresql"):
        values = f"keda.trigger={trigger},worker.minReplicas=0,keda.cooldownPeriod=5"
        installed.helm("upgrade", "jobproc", "charts/jobproc", "--reuse-values", "--set", values, "--wait")
        until("no worker is left", lambda: installed.replicas("jobproc-worker-default") == (0, 0), 180)
        assert api.until_status(api.submit("cube_sum", 3), "SUCCESS", 120)["result"] == 27.0

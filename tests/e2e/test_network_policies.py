"""jobproc with its NetworkPolicies: necessary connections work, all others fail if the cluster enforces policies."""

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


@pytest.fixture(scope="module")
def installed(keda: None, namespace: Namespace) -> Namespace:
    small = (
        "api.replicas=1",
        "controller.replicas=1",
        "postgresql.persistence.enabled=false",
        "keda.pollingInterval=2",
        "keda.enabled=true",
    )
    namespace.install("networkPolicy.enabled=true", *small)
    return namespace


def reachable(namespace: Namespace, name: str, *targets: str) -> dict[str, bool]:
    """Return for each target whether a pod outside of jobproc can connect to it."""
    namespace.pod(name, f"{IMAGES['api']}:{TAG}", ["python", "-c", CONNECT, *targets])
    until(f"{name} has tried", lambda: "done" in namespace.log(name), 60)
    return {line.split()[0]: line.split()[1] == "open" for line in namespace.log(name).splitlines() if ":" in line}


def test_a_job_runs_from_the_service_to_its_result(installed: Namespace) -> None:
    api = installed.api()
    assert api.until_status(api.submit("square_sum", 1, 2, 3), "SUCCESS", 120)["result"] == 14.0
    assert "Succeeded" in installed.helm("test", "jobproc")


def test_another_pod_can_connect_only_to_the_api(installed: Namespace) -> None:
    targets = reachable(installed, "stranger", "jobproc-api:8000", "jobproc-postgresql:5432", "jobproc-redis:6379")
    assert targets["jobproc-api:8000"]
    if all(targets.values()):
        pytest.skip("this cluster's network does not enforce NetworkPolicies")
    assert targets == {"jobproc-api:8000": True, "jobproc-postgresql:5432": False, "jobproc-redis:6379": False}

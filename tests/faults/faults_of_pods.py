"""Faults of pods in a cluster."""

import random
import time
from typing import TYPE_CHECKING

from rig.system import until

from faults.fault import CLUSTER, fault

if TYPE_CHECKING:  # needs the client of Kubernetes
    from faults.cluster import ClusterEnvironment


def _delete_random_pod(
    environment: "ClusterEnvironment", component: str, chance: random.Random, *, gracefully: bool = False
) -> str:
    """Delete a random pod of a component, wait until another one is ready, and return the name of the deleted pod."""
    pod = chance.choice(environment.namespace.ready(component))
    environment.delete_pod(pod, gracefully=gracefully)
    environment.until_complete(component)
    return pod


@fault(interrupts=True, where=CLUSTER)
def worker_pod_killed(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F2: kill a worker pod, without grace."""
    return _delete_random_pod(environment, "worker", chance)


@fault(interrupts=True, where=CLUSTER)
def worker_pod_terminated(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F3: terminate a worker pod gracefully."""
    return _delete_random_pod(environment, "worker", chance, gracefully=True)


@fault(interrupts=True, where=CLUSTER)
def workers_scaled(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F3: scale the workers down, then up again."""
    (name,) = {
        deployment.metadata.name
        for deployment in environment.namespace.apps.list_namespaced_deployment(environment.namespace.name).items
        if "worker" in deployment.metadata.name
    }
    count = environment.namespace.replicas(name)[0]
    environment.namespace.scale(name, 1)
    environment.namespace.until_ready("worker", 1)
    time.sleep(chance.uniform(0, 3))
    environment.namespace.scale(name, count)
    environment.until_complete("worker")
    return f"{name} from {count} to 1 and back"


@fault(interrupts=False, where=CLUSTER)
def api_pod_killed(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """Kill an API pod, without grace."""
    return _delete_random_pod(environment, "api", chance)


@fault(interrupts=False, where=CLUSTER)
def controller_pod_killed(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F44: kill the pod of the leading controller."""
    leader = str(environment.database.value("SELECT holder FROM leaders"))
    ready = environment.namespace.ready("controller")
    pod = next((name for name in ready if name in leader), ready[0])
    environment.delete_pod(pod)
    until(
        "another controller leads", lambda: str(environment.database.value("SELECT holder FROM leaders")) != leader, 60
    )
    environment.until_complete("controller")
    return pod


@fault(interrupts=False, where=CLUSTER)
def redis_pod_killed(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F9: kill the Redis pod, without grace."""
    environment.delete_pod("jobproc-redis-0")
    until("Redis is ready", lambda: environment.namespace.ready_pod("jobproc-redis-0"), 90)
    return "ready again"


@fault(interrupts=True, where=CLUSTER)
def postgresql_pod_killed(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """F17: kill the PostgreSQL pod, without grace."""
    with environment.database_unavailable():
        environment.delete_pod("jobproc-postgresql-0")
        until("PostgreSQL is ready", lambda: environment.namespace.ready_pod("jobproc-postgresql-0"), 120)
        environment.until_complete("api")
    return "ready again"


@fault(interrupts=True, where=CLUSTER)
def connections_of_pods_terminated(environment: "ClusterEnvironment", chance: random.Random) -> str | None:
    """Terminate every connection of jobproc, several times."""
    return environment.end_connections_repeatedly(chance)

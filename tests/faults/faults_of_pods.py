"""Faults of pods, in a cluster."""

import random
import time
from typing import TYPE_CHECKING

from rig.system import until

from faults.fault import CLUSTER, fault

if TYPE_CHECKING:  # needs the client of Kubernetes
    from faults.cluster import ClusterPlace


def _delete_one(place: "ClusterPlace", component: str, chance: random.Random, *, told: bool = False) -> str:
    """Delete a pod of a component, and wait until another one is ready; returns which."""
    pod = chance.choice(place.namespace.ready(component))
    place.kill(pod, told=told)
    place.whole_again(component)
    return pod


@fault(interrupts=True, where=CLUSTER)
def worker_pod_killed(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F2: a pod of a worker, at once."""
    return _delete_one(place, "worker", chance)


@fault(interrupts=True, where=CLUSTER)
def worker_pod_told_to_end(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F3: a pod of a worker, with its grace."""
    return _delete_one(place, "worker", chance, told=True)


@fault(interrupts=True, where=CLUSTER)
def workers_scaled(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F3: fewer workers, then more again."""
    (name,) = {one.metadata.name for one in place.namespace.apps.list_namespaced_deployment(place.namespace.name).items if "worker" in one.metadata.name}
    count = place.namespace.replicas(name)[0]
    place.namespace.scale(name, 1)
    place.namespace.until_ready("worker", 1)
    time.sleep(chance.uniform(0, 3))
    place.namespace.scale(name, count)
    place.whole_again("worker")
    return f"{name} from {count} to 1 and back"


@fault(interrupts=False, where=CLUSTER)
def api_pod_killed(place: "ClusterPlace", chance: random.Random) -> str | None:
    """A pod of the API, at once."""
    return _delete_one(place, "api", chance)


@fault(interrupts=False, where=CLUSTER)
def controller_pod_killed(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F44: the pod of the controller that leads."""
    before = str(place.database.one("SELECT holder FROM leaders"))
    ready = place.namespace.ready("controller")
    pod = next((one for one in ready if one in before), ready[0])
    place.kill(pod)
    until("another one leads", lambda: str(place.database.one("SELECT holder FROM leaders")) != before, 60)
    place.whole_again("controller")
    return pod


@fault(interrupts=False, where=CLUSTER)
def redis_pod_killed(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F9: the pod of Redis, at once."""
    place.kill("jobproc-redis-0")
    until("Redis is back", lambda: place.namespace.ready_pod("jobproc-redis-0"), 90)
    return "it is back"


@fault(interrupts=True, where=CLUSTER)
def postgresql_pod_killed(place: "ClusterPlace", chance: random.Random) -> str | None:
    """F17: the pod of PostgreSQL, at once."""
    with place.database_away():
        place.kill("jobproc-postgresql-0")
        until("PostgreSQL is back", lambda: place.namespace.ready_pod("jobproc-postgresql-0"), 120)
        place.whole_again("api")
    return "it is back"


@fault(interrupts=True, where=CLUSTER)
def connections_of_pods_terminated(place: "ClusterPlace", chance: random.Random) -> str | None:
    """Every connection of jobproc is ended, several times."""
    return place.end_connections_often(chance)

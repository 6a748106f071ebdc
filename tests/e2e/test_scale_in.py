"""Pods that go while long jobs run: the idle ones first, the longest job last, and nothing is lost when a busy one must go."""

import pytest
from e2e.cluster import Api, Namespace, until
from kubernetes import client

COST = "controller.kubernetes.io/pod-deletion-cost"
POOL = "jobproc-worker-default"


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    small = ("api.replicas=1", "controller.replicas=1", "postgresql.persistence.enabled=false")
    namespace.install(*namespace.operations(), *small, "worker.replicas=4", "worker.concurrency=1", "worker.drainSeconds=20")
    return namespace


@pytest.fixture(scope="module")
def api(installed: Namespace) -> Api:
    return installed.api()


def costs(namespace: Namespace) -> dict[str, int]:
    """Return the deletion costs of the worker pods that have one."""
    annotations = {pod.metadata.name: pod.metadata.annotations or {} for pod in namespace.pods("worker")}
    return {name: int(found[COST]) for name, found in annotations.items() if COST in found}


def busy(namespace: Namespace, count: int, least: int = 1) -> dict[str, int]:
    """Wait until so many pods say that they are busy, at such a cost."""
    return dict(
        until(
            f"{count} pods have a cost of {least}",
            lambda: (found,) if len(found := {name: cost for name, cost in costs(namespace).items() if cost >= least}) == count else None,
            60,
        )[0]
    )


def test_idle_pods_go_first_and_the_longest_job_last(installed: Namespace, api: Api) -> None:
    first = api.submit("sleep", 45)
    (longest,) = busy(installed, 1)
    until("two seconds have passed, by which the starts differ", lambda: sum(busy(installed, 1).values()) > 1_000_000, 30)
    second = api.submit("sleep", 35)
    both = busy(installed, 2, least=1_000_000)
    assert both[longest] == max(both.values())

    installed.scale(POOL, 2)
    assert set(installed.until_ready("worker", 2)) == set(both)
    installed.scale(POOL, 1)
    assert installed.until_ready("worker", 1) == [longest]

    assert api.until_status(first, "SUCCESS", 90)["attempt"] == 1
    ended = api.until_status(second, "SUCCESS", 120)
    assert ended["attempt"] <= 2, "it had 20 seconds; what does not end in them runs again"
    until("the cost is taken back", lambda: not costs(installed), 60)
    installed.scale(POOL, 2)
    installed.until_ready("worker", 2)


def evict(namespace: Namespace, pod: str) -> None:
    """Ask the cluster to let a pod go, as a node that is drained does."""
    namespace.core.create_namespaced_pod_eviction(pod, namespace.name, {"metadata": {"name": pod, "namespace": namespace.name}})


def running(namespace: Namespace, api: Api, seconds: float) -> tuple[str, str]:
    """Submit a job that sleeps; returns its id and the pod that runs it."""
    job = api.submit("sleep", seconds)
    (pod,) = busy(namespace, 1)
    return job, pod


def test_a_job_that_ends_within_the_drain_time_ends_where_it_ran(installed: Namespace, api: Api) -> None:
    job, pod = running(installed, api, 12)
    evict(installed, pod)
    ended = api.until_status(job, "SUCCESS", 60)
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["success"], ended
    until("the evicted pod is gone", lambda: pod not in [one.metadata.name for one in installed.core.list_namespaced_pod(installed.name).items], 60)
    installed.until_ready("worker", 2)


def test_a_job_that_does_not_is_given_back_and_runs_again_uncharged(installed: Namespace, api: Api) -> None:
    until("no pod is busy", lambda: not costs(installed), 60)
    job, pod = running(installed, api, 30)
    evict(installed, pod)
    ended = api.until_status(job, "SUCCESS", 120)
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["released", "success"], ended
    installed.until_ready("worker", 2)


def test_a_drain_takes_one_worker_at_a_time(installed: Namespace) -> None:
    one, other = installed.until_ready("worker", 2)
    evict(installed, one)
    with pytest.raises(client.ApiException) as refused:
        evict(installed, other)
    assert refused.value.status == 429, "the disruption budget holds"
    installed.until_ready("worker", 2)


def test_a_job_that_kills_its_pod_by_its_memory_takes_no_neighbour_with_it(installed: Namespace, api: Api) -> None:
    heavy = api.submit("allocate", 4_000)
    others = api.submit_many("square_sum", [[number] for number in range(50)])
    ended = api.until_status(heavy, "FAILED", 120)
    assert ended["error"]["type"] == "worker_lost", ended
    assert [api.until_status(job, "SUCCESS", 120)["result"] for job in others] == [float(number**2) for number in range(50)]
    installed.until_ready("worker", 2)

"""Scale-in and eviction while long jobs run: idle pods end first, the longest job's pod last, and no job is lost."""

import pytest
from e2e.cluster import Api, Namespace, until
from kubernetes import client

COST = "controller.kubernetes.io/pod-deletion-cost"
POOL = "jobproc-worker-default"


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    small = ("api.replicas=1", "controller.replicas=1", "postgresql.persistence.enabled=false")
    namespace.install(
        *namespace.operations(), *small, "worker.replicas=4", "worker.concurrency=1", "worker.drainSeconds=20"
    )
    return namespace


@pytest.fixture(scope="module")
def api(installed: Namespace) -> Api:
    return installed.api()


def costs(namespace: Namespace) -> dict[str, int]:
    """Return the deletion costs of the worker pods that have one."""
    annotations = {pod.metadata.name: pod.metadata.annotations or {} for pod in namespace.pods("worker")}
    return {name: int(values[COST]) for name, values in annotations.items() if COST in values}


def busy(namespace: Namespace, count: int, min_cost: int = 1) -> dict[str, int]:
    """Wait until exactly `count` pods have a deletion cost of at least `min_cost`. Returns their costs."""

    def matching() -> tuple[dict[str, int]] | None:
        pods = {name: cost for name, cost in costs(namespace).items() if cost >= min_cost}
        return (pods,) if len(pods) == count else None

    return dict(until(f"{count} pods have a cost of {min_cost}", matching, 60)[0])


def test_idle_pods_end_first_and_the_pod_of_the_longest_job_last(installed: Namespace, api: Api) -> None:
    first = api.submit("sleep", 45)
    (longest,) = busy(installed, 1)
    until("the first job has run for two seconds", lambda: sum(busy(installed, 1).values()) > 1_000_000, 30)
    second = api.submit("sleep", 35)
    busy_pods = busy(installed, 2, min_cost=1_000_000)
    assert busy_pods[longest] == max(busy_pods.values())

    installed.scale(POOL, 2)
    assert set(installed.until_ready("worker", 2)) == set(busy_pods)
    installed.scale(POOL, 1)
    assert installed.until_ready("worker", 1) == [longest]

    assert api.until_status(first, "SUCCESS", 90)["attempt"] == 1
    finished = api.until_status(second, "SUCCESS", 120)
    assert finished["attempt"] <= 2, "a job that does not finish within the drain time of 20 s runs again"
    until("the cost is removed", lambda: not costs(installed), 60)
    installed.scale(POOL, 2)
    installed.until_ready("worker", 2)


def evict(namespace: Namespace, pod: str) -> None:
    """Evict a pod, as `kubectl drain` does."""
    namespace.core.create_namespaced_pod_eviction(
        pod, namespace.name, {"metadata": {"name": pod, "namespace": namespace.name}}
    )


def submit_sleep(namespace: Namespace, api: Api, seconds: float) -> tuple[str, str]:
    """Submit a job that sleeps. Returns its id and the pod that runs it."""
    job = api.submit("sleep", seconds)
    (pod,) = busy(namespace, 1)
    return job, pod


def test_a_job_that_finishes_within_the_drain_time_is_not_released(installed: Namespace, api: Api) -> None:
    job, pod = submit_sleep(installed, api, 12)
    evict(installed, pod)
    finished = api.until_status(job, "SUCCESS", 60)
    assert [attempt["outcome"] for attempt in finished["attempts"]] == ["success"], finished

    def names() -> list[str]:
        return [item.metadata.name for item in installed.core.list_namespaced_pod(installed.name).items]

    until("the evicted pod is gone", lambda: pod not in names(), 60)
    installed.until_ready("worker", 2)


def test_a_job_that_exceeds_the_drain_time_is_released_uncharged_and_runs_again(installed: Namespace, api: Api) -> None:
    until("no pod is busy", lambda: not costs(installed), 60)
    job, pod = submit_sleep(installed, api, 30)
    evict(installed, pod)
    finished = api.until_status(job, "SUCCESS", 120)
    assert [attempt["outcome"] for attempt in finished["attempts"]] == ["released", "success"], finished
    installed.until_ready("worker", 2)


def test_the_disruption_budget_allows_one_eviction_at_a_time(installed: Namespace) -> None:
    first, second = installed.until_ready("worker", 2)
    evict(installed, first)
    with pytest.raises(client.ApiException) as rejected:
        evict(installed, second)
    assert rejected.value.status == 429
    installed.until_ready("worker", 2)


def test_a_job_that_gets_its_pod_killed_for_memory_fails_no_other_job(installed: Namespace, api: Api) -> None:
    heavy = api.submit("allocate", 4_000)
    others = api.submit_many("square_sum", [[number] for number in range(50)])
    failed = api.until_status(heavy, "FAILED", 120)
    assert failed["error"]["type"] == "worker_lost", failed
    assert [api.until_status(job, "SUCCESS", 120)["result"] for job in others] == [
        float(number**2) for number in range(50)
    ]
    installed.until_ready("worker", 2)

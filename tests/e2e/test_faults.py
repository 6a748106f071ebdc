"""Pods killed under load: no accepted job is lost; submissions fail only while PostgreSQL or their API pod is gone."""

from collections.abc import Iterator

import pytest
from e2e.cluster import Namespace, until
from rig.system import Database

CONNECTION_ERRORS = (
    "ConnectionRefusedError",
    "ConnectionResetError",
    "RemoteDisconnected",
    "TimeoutError",
    "OSError",
    "BadStatusLine",
    "BrokenPipeError",
)


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    namespace.install(
        "api.replicas=2",
        "controller.replicas=2",
        "worker.replicas=2",
        "worker.drainSeconds=5",
        "settings.JOBPROC_LEASE_SECONDS=6",
        "settings.JOBPROC_HEARTBEAT_SECONDS=1",
    )
    return namespace


@pytest.fixture(scope="module")
def database(installed: Namespace) -> Database:
    return installed.database()


@pytest.fixture(autouse=True)
def _wait_until_all_pods_are_ready(installed: Namespace) -> Iterator[None]:
    yield
    for component, count in {"api": 2, "worker": 2, "controller": 2}.items():
        installed.until_ready(component, count)


def test_a_killed_worker_loses_no_job(installed: Namespace) -> None:
    with installed.load("worker-killed") as report:
        for pod in installed.ready("worker"):
            installed.delete_pod(pod, gracefully=False)
        installed.until_ready("worker", 2)
    report.shows_no_loss()


def test_a_killed_controller_loses_no_job_and_another_controller_leads(
    installed: Namespace, database: Database
) -> None:
    def leader() -> str:
        return str(database.value("SELECT holder FROM leaders"))

    before = leader()
    with installed.load("controller-killed") as report:
        (pod,) = [pod for pod in installed.ready("controller") if pod in before] or installed.ready("controller")[:1]
        installed.delete_pod(pod, gracefully=False)
        until("another controller leads", lambda: leader() != before, 60)
    report.shows_no_loss()


def test_a_killed_redis_neither_fails_a_submission_nor_loses_a_job(installed: Namespace) -> None:
    with installed.load("redis-killed") as report:
        installed.delete_pod("jobproc-redis-0", gracefully=False)
        until("Redis is ready", lambda: installed.ready_pod("jobproc-redis-0"), 60)
    report.shows_no_loss()


def test_a_killed_api_pod_fails_only_its_open_requests(installed: Namespace) -> None:
    with installed.load("api-killed") as report:
        installed.delete_pod(installed.ready("api")[0], gracefully=False)
        installed.until_ready("api", 2)
    report.shows_no_loss(*CONNECTION_ERRORS)


def test_submissions_get_503_until_a_killed_postgresql_is_ready_again(installed: Namespace) -> None:
    with installed.load("postgresql-killed", wait_s=180) as report:
        installed.delete_pod("jobproc-postgresql-0", gracefully=False)
        until("PostgreSQL is ready", lambda: installed.ready_pod("jobproc-postgresql-0"), 120)
        installed.until_ready("api", 2)
    report.shows_no_loss("503", *CONNECTION_ERRORS)
    for component in ("api", "worker"):
        restarts = {pod.status.container_statuses[0].restart_count for pod in installed.pods(component)}
        assert restarts == {0}, f"a container of {component} was restarted"

"""Pods that are killed while jobs come in: no accepted job is lost, and submissions fail only where they must."""

from collections.abc import Iterator

import pytest
from e2e.cluster import Namespace, until
from rig.system import Database

CONNECTION_ERRORS = ("ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected", "TimeoutError", "OSError", "BadStatusLine", "BrokenPipeError")


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
def _whole_again(installed: Namespace) -> Iterator[None]:
    yield
    for component, count in {"api": 2, "worker": 2, "controller": 2}.items():
        installed.until_ready(component, count)


def test_a_killed_worker_loses_nothing(installed: Namespace) -> None:
    with installed.load("worker-killed") as report:
        for pod in installed.ready("worker"):
            installed.delete_pod(pod, told=False)
        installed.until_ready("worker", 2)
    report.shows_no_loss()


def test_a_killed_controller_loses_nothing_and_another_one_leads(installed: Namespace, database: Database) -> None:
    def leader() -> str:
        return str(database.one("SELECT holder FROM leaders"))

    before = leader()
    with installed.load("controller-killed") as report:
        (led,) = [pod for pod in installed.ready("controller") if pod in before] or installed.ready("controller")[:1]
        installed.delete_pod(led, told=False)
        until("another one leads", lambda: leader() != before, 60)
    report.shows_no_loss()


def test_a_killed_redis_neither_fails_a_submission_nor_loses_a_job(installed: Namespace) -> None:
    with installed.load("redis-killed") as report:
        installed.delete_pod("jobproc-redis-0", told=False)
        until("Redis is back", lambda: installed.ready_pod("jobproc-redis-0"), 60)
    report.shows_no_loss()


def test_a_killed_api_costs_open_requests_only(installed: Namespace) -> None:
    with installed.load("api-killed") as report:
        installed.delete_pod(installed.ready("api")[0], told=False)
        installed.until_ready("api", 2)
    report.shows_no_loss(*CONNECTION_ERRORS)


def test_a_killed_postgresql_is_answered_with_503_until_it_is_back(installed: Namespace) -> None:
    with installed.load("postgresql-killed", wait_s=180) as report:
        installed.delete_pod("jobproc-postgresql-0", told=False)
        until("PostgreSQL is back", lambda: installed.ready_pod("jobproc-postgresql-0"), 120)
        installed.until_ready("api", 2)
    report.shows_no_loss("503", *CONNECTION_ERRORS)
    assert {pod.status.container_statuses[0].restart_count for pod in installed.pods("api")} == {0}, "nothing was started anew"
    assert {pod.status.container_statuses[0].restart_count for pod in installed.pods("worker")} == {0}

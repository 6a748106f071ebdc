"""An upgrade to a version with a migration and a rollback, under load: no job is lost and no request fails.

With the same upgrade each part gets its own role. Before it, all parts connect as the superuser who made the schema.
"""

import pytest
from e2e.cluster import NEXT, TAG, Namespace
from rig.system import Database

COLUMN = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'live' AND column_name = 'note'"

OWNERS = (
    "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
    " WHERE relnamespace = 'jobproc'::regnamespace AND relkind IN ('r', 'p', 'v')"
)


@pytest.fixture(scope="module")
def installed(namespace: Namespace) -> Namespace:
    namespace.install("worker.replicas=2", "worker.drainSeconds=10", "databaseRoles.enabled=false")
    return namespace


@pytest.fixture(scope="module")
def database(installed: Namespace) -> Database:
    return installed.database()


def tags(namespace: Namespace) -> set[str]:
    """Return the image tags of the API, workers and controllers."""
    return {
        pod.spec.containers[0].image.rpartition(":")[2]
        for component in ("api", "worker", "controller")
        for pod in namespace.pods(component)
    }


def test_an_upgrade_under_load_loses_no_job_and_fails_no_request(installed: Namespace, database: Database) -> None:
    assert database.value(COLUMN) == 0
    password = installed.core.read_namespaced_secret("jobproc-postgresql", installed.name).data
    with installed.load("upgraded") as report:
        values = f"images.api.tag={NEXT},images.worker.tag={NEXT},databaseRoles.enabled=true"
        installed.helm("upgrade", "jobproc", "charts/jobproc", "--reuse-values", "--set", values, "--wait")
    report.shows_no_loss()
    assert tags(installed) == {NEXT}
    assert database.value(COLUMN) == 1
    assert database.rows(OWNERS) == [("jobproc_owner",)]
    assert installed.core.read_namespaced_secret("jobproc-postgresql", installed.name).data == password, (
        "an upgrade keeps the passwords"
    )


def test_a_rollback_under_load_loses_no_job_and_leaves_the_schema(installed: Namespace, database: Database) -> None:
    with installed.load("rolled-back") as report:
        installed.helm("rollback", "jobproc", "1", "--wait")
    report.shows_no_loss()
    assert tags(installed) == {TAG}
    assert database.value(COLUMN) == 1

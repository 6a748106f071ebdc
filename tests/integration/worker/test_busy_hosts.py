"""A worker publishes since when its pod has had a job: the controller derives the pod's deletion cost from it."""

import pytest
from rig.system import System, until

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.workers import leases


@pytest.mark.parametrize("operation", ["sleep", "await_effect"])
def test_the_pod_of_a_worker_is_busy_while_a_job_runs_and_idle_afterwards(
    system: System, settings: Settings, operation: str
) -> None:
    system.worker(JOBPROC_POD_NAME="jobproc-worker-default-7d9-abcde").api()
    connection = WorkerConnection(settings, "test", by_index=True)
    assert leases.busy_hosts(connection, 10) == {}
    job = system.submit(operation, 4)
    hosts = until(
        "the job has been published",
        lambda: hosts if (hosts := leases.busy_hosts(connection, 10)) and _run_s(hosts) >= 1 else None,
    )
    assert hosts.keys() == {"jobproc-worker-default-7d9-abcde"}
    started = system.database.value("SELECT extract(epoch FROM started_at)::float8 FROM live WHERE id = %s", (job,))
    assert next(iter(hosts.values())).started == pytest.approx(started, abs=1)
    until("the pod is idle", lambda: not leases.busy_hosts(connection, 10))
    connection.close()


def _run_s(hosts: dict[str, leases.BusyHost]) -> float:
    return next(iter(hosts.values())).running_s

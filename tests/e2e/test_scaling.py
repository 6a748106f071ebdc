"""KEDA scales the workers on queue depth: from 0 to the maximum and back; one worker starts if the depth is unknown."""

import json
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
from e2e.cluster import CHART, ROOT, Api, Namespace, until
from rig.system import Database

POOL = "jobproc-worker-default"
MAX_WORKERS = 4
JOBS = 1_200  # each takes 0.1 s: two minutes for one process
RECORD = ROOT / ".local" / "e2e" / "scaling.tsv"


@pytest.fixture(scope="module")
def installed(keda: None, namespace: Namespace) -> Namespace:
    scaling = (
        "keda.enabled=true",
        "keda.pollingInterval=2",
        "keda.cooldownPeriod=10",
        "keda.fallback.failureThreshold=2",
    )
    shrink = {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}
    namespace.install(
        *namespace.operations(),
        *scaling,
        f"worker.maxReplicas={MAX_WORKERS}",
        "api.replicas=1",
        "controller.replicas=1",
        "worker.drainSeconds=5",
        "controller.preStopSeconds=0",
        "postgresql.persistence.enabled=false",
        "keda.behavior.scaleDown=" + json.dumps(shrink),
    )
    return namespace


@pytest.fixture(scope="module")
def api(installed: Namespace) -> Api:
    return installed.api()


class Record:
    """Depth and replicas, recorded every second in a thread while a block runs."""

    def __init__(self, namespace: Namespace, database: Database) -> None:
        self.rows: list[tuple[float, int, int, int]] = []
        self._namespace, self._database = namespace, database
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._done.wait(1):
            self._sample()

    def _sample(self) -> None:
        depth = self._database.value("SELECT count(*) FROM live WHERE claimable_at <= now()")
        self.rows.append((time.monotonic() - self._began, int(depth), *self._namespace.replicas(POOL)))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "seconds\tdepth\twanted\tready",
            *(f"{second:.0f}\t{depth}\t{wanted}\t{ready}" for second, depth, wanted, ready in self.rows),
        ]
        path.write_text("\n".join(lines) + "\n")


def test_a_burst_scales_the_workers_from_zero_to_the_maximum_and_back(installed: Namespace, api: Api) -> None:
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 120)
    database = installed.database()
    with Record(installed, database) as record:
        api.submit_many("sleep", [[0.1]] * JOBS)
        until("the maximum of workers is wanted", lambda: installed.replicas(POOL)[0] == MAX_WORKERS, 120)
        until("all jobs have finished", lambda: not database.value("SELECT count(*) FROM live"), 240)
        until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 240)
    record.write(RECORD)
    assert database.rows("SELECT status, count(*) FROM outcomes GROUP BY status") == [("SUCCESS", JOBS)]
    wanted = [row[2] for row in record.rows]
    assert wanted[0] == wanted[-1] == 0
    assert max(wanted) == MAX_WORKERS
    assert all(before - after <= 1 for before, after in pairwise(wanted) if after), (
        "the pool shrinks by one pod at a time, except for the last step"
    )
    first_s = next(row[0] for row in record.rows if row[2])
    max_s = record.rows[wanted.index(MAX_WORKERS)][0]
    print(f"first worker wanted after {first_s:.0f} s, {MAX_WORKERS} after {max_s:.0f} s; {RECORD}")


def test_one_worker_starts_while_the_depth_is_unknown(installed: Namespace, api: Api) -> None:
    """Without the controller its metric is absent. Only the fallback starts a worker then."""
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 120)
    installed.scale("jobproc-controller", 0)
    until("no controller is left", lambda: not installed.pods("controller"), 60)
    job = api.submit("square_sum", 5)
    until("one worker is wanted", lambda: installed.replicas(POOL)[0] == 1, 120)
    installed.scale("jobproc-controller", 1)
    assert api.until_status(job, "SUCCESS", 120)["result"] == 25.0
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)


def test_a_busy_pool_is_not_scaled_to_zero(installed: Namespace, api: Api) -> None:
    """Depth is queued plus running, so a job that takes longer than the cooldown keeps its worker."""
    job = api.submit("sleep", 30)
    api.until_status(job, "IN_PROGRESS", 120)
    finished = api.until_status(job, "SUCCESS", 120)
    assert [attempt["outcome"] for attempt in finished["attempts"]] == ["success"]
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)


def test_keda_can_read_the_depth_from_the_database(installed: Namespace, api: Api) -> None:
    """The trigger `postgresql` needs no controller to read the depth."""
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", "keda.trigger=postgresql", "--wait")
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)
    assert installed.api().until_status(api.submit("cube_sum", 3), "SUCCESS", 120)["result"] == 27.0
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)

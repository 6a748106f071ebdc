"""KEDA scales the workers on queue depth: from nothing to many and back, and starts one when it cannot see the depth."""

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
MOST = 4
JOBS = 1_200  # of a tenth of a second: two minutes for one process
RECORD = ROOT / ".local" / "e2e" / "scaling.tsv"


@pytest.fixture(scope="module")
def installed(keda: None, namespace: Namespace) -> Namespace:
    scaling = ("keda.enabled=true", "keda.pollingInterval=2", "keda.cooldownPeriod=10", "keda.fallback.failureThreshold=2")
    shrink = {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}
    namespace.install(
        *namespace.operations(),
        *scaling,
        f"worker.maxReplicas={MOST}",
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
    """Replicas over time against depth, once a second, beside what a test does."""

    def __init__(self, namespace: Namespace, database: Database) -> None:
        self.rows: list[tuple[float, int, int, int]] = []
        self._namespace, self._database = namespace, database
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(1):
            self._look()

    def _look(self) -> None:
        depth = self._database.one("SELECT count(*) FROM live WHERE pos <= now()")
        self.rows.append((time.monotonic() - self._began, int(depth), *self._namespace.replicas(POOL)))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["seconds\tdepth\twanted\tready", *(f"{second:.0f}\t{depth}\t{wanted}\t{ready}" for second, depth, wanted, ready in self.rows)]
        path.write_text("\n".join(lines) + "\n")


def test_a_burst_takes_the_workers_from_none_to_many_and_back(installed: Namespace, api: Api) -> None:
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 120)
    database = installed.database()
    with Record(installed, database) as record:
        api.submit_many("sleep", [[0.1]] * JOBS)
        until("the most workers are wanted", lambda: installed.replicas(POOL)[0] == MOST, 120)
        until("all jobs are done", lambda: not database.one("SELECT count(*) FROM live"), 240)
        until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 240)
    record.write(RECORD)
    assert database.rows("SELECT status, count(*) FROM outcomes GROUP BY status") == [("SUCCESS", JOBS)]
    wanted = [row[2] for row in record.rows]
    assert wanted[0] == wanted[-1] == 0
    assert max(wanted) == MOST, "never more than the most"
    assert all(before - after <= 1 for before, after in pairwise(wanted) if after), "one pod at a time goes, but for the last"
    full = wanted.index(MOST)
    print(f"first worker wanted after {next(row[0] for row in record.rows if row[2]):.0f} s, {MOST} after {record.rows[full][0]:.0f} s; {RECORD}")


def test_one_worker_is_started_while_the_depth_cannot_be_read(installed: Namespace, api: Api) -> None:
    """With the controller away its metric is absent: at zero workers nothing else would start one."""
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 120)
    installed.scale("jobproc-controller", 0)
    until("no controller is left", lambda: not installed.pods("controller"), 60)
    job = api.submit("square_sum", 5)
    until("one worker is wanted", lambda: installed.replicas(POOL)[0] == 1, 120)
    installed.scale("jobproc-controller", 1)
    assert api.until_status(job, "SUCCESS", 120)["result"] == 25.0
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)


def test_a_busy_pool_is_not_scaled_to_none(installed: Namespace, api: Api) -> None:
    """Depth is queued plus running: a job that takes longer than the cooldown keeps its worker."""
    job = api.submit("sleep", 30)
    api.until_status(job, "IN_PROGRESS", 120)
    ended = api.until_status(job, "SUCCESS", 120)
    assert [attempt["outcome"] for attempt in ended["attempts"]] == ["success"]
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)


def test_the_depth_can_be_read_from_the_database_instead(installed: Namespace, api: Api) -> None:
    """The trigger `postgresql` needs no controller to see that work waits."""
    installed.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", "keda.trigger=postgresql", "--wait")
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)
    assert installed.api().until_status(api.submit("cube_sum", 3), "SUCCESS", 120)["result"] == 27.0
    until("no worker is left", lambda: installed.replicas(POOL) == (0, 0), 180)
